import { spawnSync } from 'node:child_process'
import { mkdtempSync, cpSync, readdirSync, readFileSync, truncateSync, statSync, rmSync } from 'node:fs'
import { RocksDbStores } from '../src/adapters/rocksdb/stores.ts'
const bytes = (s: string) => Buffer.from(s)
if (process.argv[2] === 'write') {
  const stores = await RocksDbStores.open({ dataDir: process.argv[3]!, memoryBudget: 1 })
  const store = await stores.open(0 as never)
  for (let i = 0; i < +process.argv[4]!; i++) await store.write([{ key: bytes(`k${String(i).padStart(6,'0')}`), value: bytes('v'.repeat(200)) }, { key: bytes('m'), value: bytes(String(i)) }])
  process.kill(process.pid, 'SIGKILL')
}
const base = mkdtempSync('/tmp/mf-')
for (const n of [1500, 2500, 4000, 6000, 12000]) {
  const dir = base + '/db' + n
  spawnSync(process.execPath, ['--import', 'tsx', import.meta.filename, 'write', dir, String(n)], { stdio: 'inherit', cwd: '/work/main' })
  const list = readdirSync(dir + '/p0')
  console.log(n, list.filter(f => /log|sst|MANI/.test(f)).map(f => f + ':' + statSync(dir + '/p0/' + f).size).join(' '))
  const probe = async (name: string, damage: (d: string) => void) => {
    const d = `${base}/${n}${name}`; cpSync(dir, d, { recursive: true }); damage(d + '/p0')
    const stores = await RocksDbStores.open({ dataDir: d })
    try {
      const store = await stores.open(0 as never)
      const have: number[] = []; for await (const [k] of store.range(bytes('k'), bytes('l'))) have.push(+Buffer.from(k).toString().slice(1))
      let holes = []; let prev = -1; for (const k of have) { if (k !== prev + 1) holes.push([prev + 1, k - 1]); prev = k }
      console.log(n, name, holes.length ? 'WRONG' : 'ok', have.length, 'last', have.at(-1), 'holes', JSON.stringify(holes))
    } catch (e) { console.log(n, name, 'failed', (e as Error).message.slice(-120)) }
    await stores.close()
  }
  const wals = list.filter(f => f.endsWith('.log')).sort()
  await probe('whole', () => {})
  for (const w of wals) {
    await probe('cut' + w, d => truncateSync(`${d}/${w}`, Math.max(0, statSync(`${d}/${w}`).size - 5000)))
    await probe('rm' + w, d => rmSync(`${d}/${w}`))
  }
  const mf = list.find(f => f.startsWith('MANIFEST'))!; const size = statSync(dir + '/p0/' + mf).size
  const b = readFileSync(dir+'/p0/'+mf); let at = 0
  while (at + 7 <= size) { const cut = at; at += 7 + b.readUInt16LE(at + 4); await probe('mf' + cut, d => truncateSync(`${d}/${mf}`, cut)) }
}
rmSync(base, { recursive: true })
