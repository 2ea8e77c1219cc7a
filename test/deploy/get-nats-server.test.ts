import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import { chmod, cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { arch, platform, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const script = fileURLToPath(new URL('../../deploy/nats/get-nats-server', import.meta.url))
const run = promisify(execFile)

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'holdfast-get-'))
  // All that the ways without a network need: no nats-server of this machine is in the way.
  await mkdir(join(home, 'tools'))
  const { stdout: bash } = await run('/bin/sh', ['-c', 'command -v bash'])
  await symlink(bash.trim(), join(home, 'tools', 'bash'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

async function getNatsServer(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  const options = { env: { PATH: join(home, 'tools'), HOME: home, XDG_CACHE_HOME: join(home, 'cache'), ...env } }
  try {
    return { code: 0, ...(await run(script, [...args], options)) }
  } catch (error) {
    const { code, stdout, stderr } = error as Outcome
    return { code, stdout, stderr }
  }
}

/** Writes something that answers `--version` as a nats-server does, and returns its path. */
async function fakeServer(folder: string, says: string): Promise<string> {
  const path = join(home, folder, 'nats-server')
  await mkdir(join(home, folder), { recursive: true })
  await writeFile(path, `#!/bin/sh\necho '${says}'\n`)
  await chmod(path, 0o755)
  return path
}

const path = (...folders: string[]) => ({ PATH: [...folders, 'tools'].map((each) => join(home, each)).join(delimiter) })
const cached = () => readdir(join(home, 'cache/holdfast/nats-server'), { recursive: true }).catch(() => [])

describe('get-nats-server', () => {
  it('prints nothing but the path of the binary on stdout', async () => {
    const server = await fakeServer('a', 'nats-server: v2.15.1')
    const { code, stdout, stderr } = await getNatsServer([], path('a'))
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${server}\n` })
    expect(stderr).toContain('nats-server 2.15.1, from PATH')
  })

  it('prints the version when asked for that', async () => {
    await fakeServer('a', 'nats-server: v2.15.1')
    expect(await getNatsServer(['--version-only'], path('a'))).toMatchObject({ code: 0, stdout: '2.15.1\n' })
  })

  it.each([
    [['--help'], 0],
    [['--nonsense'], 2],
    [['--from'], 2],
    [['--from', 'path,nowhere'], 2],
    [['--from='], 2],
  ])('answers %j with exit code %i', async (args, code) => {
    const { code: was, stdout, stderr } = await getNatsServer(args, { PATH: process.env['PATH'] ?? '' })
    expect(was).toBe(code)
    if (code === 0) expect(stdout).toMatch(/^Usage:/)
    else expect({ stdout, stderr }).toEqual({ stdout: '', stderr: expect.stringMatching(/^get-nats-server: .+/) })
  })

  describe('with NATS_SERVER_BIN (G1, G3)', () => {
    it('uses it before a newer one on PATH', async () => {
      const ordered = await fakeServer('ordered', 'nats-server: v2.12.3')
      await fakeServer('a', 'nats-server: v2.15.1')
      const { code, stdout } = await getNatsServer([], { ...path('a'), NATS_SERVER_BIN: ordered })
      expect({ code, stdout }).toEqual({ code: 0, stdout: `${ordered}\n` })
    })

    it.each([
      ['is too old', 'nats-server: v2.9.10', /version 2\.9\.10, and 2\.10\.27 is the oldest/],
      ['is something else', 'hello', /is not a nats-server/],
    ])('stops when it %s, though PATH has a good one', async (_case, says, message) => {
      const ordered = await fakeServer('ordered', says)
      await fakeServer('a', 'nats-server: v2.15.1')
      const outcome = await getNatsServer([], { ...path('a'), NATS_SERVER_BIN: ordered })
      expect(outcome).toMatchObject({ code: 3, stdout: '', stderr: expect.stringMatching(message) })
    })

    it('stops when there is no such file, or it cannot be executed', async () => {
      const missing = await getNatsServer([], { NATS_SERVER_BIN: join(home, 'missing') })
      expect(missing).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('there is no file') })
      await writeFile(join(home, 'plain'), '')
      const plain = await getNatsServer([], { NATS_SERVER_BIN: join(home, 'plain') })
      expect(plain).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('is not executable') })
    })
  })

  describe('on PATH (G2)', () => {
    it.each(['2.10.27', '2.10.100', '2.11.0', '2.12.3', '3.0.0', '10.0.0'])('takes version %s', async (version) => {
      const server = await fakeServer('a', `nats-server: v${version}`)
      expect(await getNatsServer(['--from', 'path'], path('a'))).toMatchObject({ code: 0, stdout: `${server}\n` })
    })

    it.each(['2.10.26', '2.10.3', '2.9.99', '1.99.99', '0.0.0'])('refuses version %s', async (version) => {
      await fakeServer('a', `nats-server: v${version}`)
      const outcome = await getNatsServer(['--from', 'path'], path('a'))
      expect(outcome).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining(`is version ${version}`) })
    })

    it('says that a newer one is recommended, below that version only', async () => {
      await fakeServer('a', 'nats-server: v2.12.2')
      await fakeServer('b', 'nats-server: v2.12.3')
      expect((await getNatsServer([], path('a'))).stderr).toContain('2.12.3 or newer is recommended')
      expect((await getNatsServer([], path('b'))).stderr).not.toContain('recommended')
    })

    it('passes over one that is too old, to the next on PATH', async () => {
      await fakeServer('a', 'nats-server: v2.9.10')
      const server = await fakeServer('b', 'nats-server: v2.11.5')
      expect(await getNatsServer([], path('a', 'b'))).toMatchObject({ code: 0, stdout: `${server}\n` })
    })

    it('is used before the cache, and the cache when PATH has none that will do', async () => {
      const kept = await fakeServer('cache/holdfast/nats-server/2.15.1', 'nats-server: v2.15.1')
      const onPath = await fakeServer('a', 'nats-server: v2.12.3')
      await fakeServer('old', 'nats-server: v2.9.10')
      expect((await getNatsServer([], path('a'))).stdout).toBe(`${onPath}\n`)
      expect((await getNatsServer([], path('old'))).stdout).toBe(`${kept}\n`)
    })
  })

  it('takes the newest of the cache, and passes over what does not run', async () => {
    await fakeServer('cache/holdfast/nats-server/2.9.10', 'nats-server: v2.9.10')
    const newest = await fakeServer('cache/holdfast/nats-server/2.15.1', 'nats-server: v2.15.1')
    await fakeServer('cache/holdfast/nats-server/2.12.3', 'nats-server: v2.12.3')
    await fakeServer('cache/holdfast/nats-server/9.9.9', 'Segmentation fault')
    expect(await getNatsServer(['--from=cache'])).toMatchObject({ code: 0, stdout: `${newest}\n` })
  })

  it('names each way that it tried when none worked', async () => {
    await fakeServer('a', 'nats-server: v2.9.10')
    const { code, stdout, stderr } = await getNatsServer(['--from', 'env,path,cache'], path('a'))
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/NATS_SERVER_BIN: not set\n.*PATH: .* is version 2\.9\.10.*\n.*cache: nothing to use/)
  })

  it("uses nothing of a mirror of Debian that is not signed with the archive's keys (G4)", async () => {
    const mirror = join(home, 'debian')
    const packages = join(mirror, 'dists/sid/main/binary-all')
    await mkdir(packages, { recursive: true })
    await writeFile(join(packages, 'Packages'), '')
    await writeFile(join(mirror, 'dists/sid/Release'), 'Suite: unstable\nCodename: sid\n')
    await chmod(home, 0o755)
    const outcome = await getNatsServer(['--from', 'debian'], {
      PATH: process.env['PATH'] ?? '',
      NATS_SERVER_DEBIAN_MIRROR: `file://${mirror}`,
      NATS_SERVER_DEBIAN_SUITES: 'sid',
    })
    // Where there is no apt or no keyring it says that.
    const refusal = /Debian.*(not signed|there is no apt-get|there is no keyring)/
    expect(outcome).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(refusal) })
    expect(await cached()).toEqual([])
  })
})

describe('get-nats-server, fetching the official release', () => {
  const name = `nats-server-v9.8.7-${platform()}-${arch() === 'x64' ? 'amd64' : arch()}`
  let files: Map<string, Buffer>
  let requests: string[]
  let server: Server

  beforeEach(async () => {
    files = new Map()
    requests = []
    server = createServer(({ url = '' }, response) => {
      requests.push(url)
      const file = files.get(url)
      response.writeHead(file === undefined ? 404 : 200).end(file)
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
  })
  afterEach(async () => {
    await once(server.close(), 'close')
  })

  async function publish(says: string): Promise<Buffer> {
    await fakeServer(`release/${name}`, says)
    await cp(script, join(home, 'release', name, 'LICENSE'))
    await run('tar', ['-czf', join(home, 'release.tar.gz'), '-C', join(home, 'release'), name])
    const { stdout: archive } = await run('cat', [join(home, 'release.tar.gz')], { encoding: 'buffer' })
    files.set(`/v9.8.7/${name}.tar.gz`, archive)
    publishChecksum(sha256(archive))
    return archive
  }
  const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
  const publishChecksum = (sum: string, of = `${name}.tar.gz`) =>
    files.set('/v9.8.7/SHA256SUMS', Buffer.from(`${'0'.repeat(64)}  nats-server-v9.8.7-plan9-386.zip\n${sum}  ${of}\n`))

  const fetchRelease = () =>
    getNatsServer(['--from', 'cache,release'], {
      PATH: process.env['PATH'] ?? '',
      NATS_SERVER_RELEASE: '9.8.7',
      NATS_SERVER_RELEASE_BASE: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    })

  const kept = () => join(home, 'cache/holdfast/nats-server/9.8.7/nats-server')

  it('keeps what matches its published checksum, and fetches it once', async () => {
    await publish('nats-server: v9.8.7')
    expect(await fetchRelease()).toMatchObject({ code: 0, stdout: `${kept()}\n` })
    expect(requests).toEqual(['/v9.8.7/SHA256SUMS', `/v9.8.7/${name}.tar.gz`])
    expect((await run(kept(), ['--version'])).stdout).toBe('nats-server: v9.8.7\n')

    expect(await fetchRelease()).toMatchObject({ code: 0, stdout: `${kept()}\n` })
    expect(requests).toHaveLength(2)
  })

  it('refuses what was changed on the way (G4)', async () => {
    const archive = await publish('nats-server: v9.8.7')
    const changed = Buffer.from(archive)
    changed[changed.length - 9]! ^= 1
    files.set(`/v9.8.7/${name}.tar.gz`, changed)
    const outcome = await fetchRelease()
    expect(outcome).toMatchObject({ code: 4, stdout: '' })
    expect(outcome.stderr).toContain(`is ${sha256(changed)}, but ${sha256(archive)} was published`)
    expect(await cached()).toEqual([])
  })

  it('refuses what has no published checksum', async () => {
    const archive = await publish('nats-server: v9.8.7')
    publishChecksum(sha256(archive), `old-${name}.tar.gz`)
    expect(await fetchRelease()).toMatchObject({
      code: 4,
      stdout: '',
      stderr: expect.stringContaining('no checksum of'),
    })
    publishChecksum('not-a-checksum')
    expect(await fetchRelease()).toMatchObject({
      code: 4,
      stdout: '',
      stderr: expect.stringContaining('no checksum of'),
    })
    expect(await cached()).toEqual([])
  })

  it('refuses a release that is too old, though its checksum matches (G2)', async () => {
    await publish('nats-server: v2.9.10')
    expect(await fetchRelease()).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('version 2.9.10'),
    })
    expect(await cached()).toEqual([])
  })

  it('says where it looked when there is nothing', async () => {
    const outcome = await fetchRelease()
    expect(outcome).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining(`could not fetch ${name}.tar.gz`),
    })
  })

  it('can run several times at once, into one cache (G5)', async () => {
    await publish('nats-server: v9.8.7')
    const outcomes = await Promise.all([fetchRelease(), fetchRelease(), fetchRelease(), fetchRelease()])
    for (const outcome of outcomes) expect(outcome).toMatchObject({ code: 0, stdout: `${kept()}\n` })
    expect((await cached()).toSorted()).toEqual(['9.8.7', join('9.8.7', 'nats-server')])
  })

  it('leaves nothing in the temporary folder', async () => {
    await publish('nats-server: v9.8.7')
    await mkdir(join(home, 'tmp'))
    const env = { PATH: process.env['PATH'] ?? '', TMPDIR: join(home, 'tmp'), NATS_SERVER_RELEASE: '9.8.7' }
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    expect(await getNatsServer(['--from', 'release'], { ...env, NATS_SERVER_RELEASE_BASE: base })).toMatchObject({
      code: 0,
    })
    expect(
      await getNatsServer(['--from', 'release'], { ...env, NATS_SERVER_RELEASE_BASE: `${base}/no` }),
    ).toMatchObject({ code: 1 })
    expect(await readdir(join(home, 'tmp'))).toEqual([])
  })
})
