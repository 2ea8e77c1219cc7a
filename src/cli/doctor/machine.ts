/** Checks of this machine: Node.js, RocksDB, the folder of a node. */
import { constants } from 'node:fs'
import { access, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { messageOf } from '../../protocol/errors.ts'
import { fail, ok, skip, warn, type Finding } from './finding.ts'

/** As in `engines` of package.json. */
const oldestNode = [20, 19] as const
const littleSpace = 1024 ** 3

export async function checkMachine(data: string | undefined): Promise<readonly Finding[]> {
  return [checkNodeVersion(process.versions.node), checkRocksDb(), ...(await checkFolder(data))]
}

export function checkNodeVersion(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const old = major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])
  const says = `Node.js ${version} on ${process.platform}-${process.arch}`
  return old ? fail('node.js', says, `use ${oldestNode.join('.')} or newer`) : ok('node.js', says)
}

function checkRocksDb(): Finding {
  try {
    createRequire(import.meta.url)('@nxtedition/rocksdb')
    return ok('rocksdb', 'its binary can be loaded: this machine can run nodes')
  } catch (error) {
    const [reason] = messageOf(error).split('\n')
    return warn(
      'rocksdb',
      `its binary cannot be loaded (${reason})`,
      'clients need none; run nodes on linux-x64 with glibc or darwin-arm64',
    )
  }
}

async function checkFolder(data: string | undefined): Promise<readonly Finding[]> {
  if (data === undefined) return [skip('disk', "not looked at: give a node's folder with --data")]
  const folder = await nearestFolder(resolve(data))
  const writable = await checkWritable(folder)
  if (writable !== undefined) return [writable]
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  const says = `${data} can be written, ${inUnits(free)} are free`
  return [
    free < littleSpace ? warn('disk', says, 'free some: a full disk stops the partitions of a node') : ok('disk', says),
  ]
}

/** A folder that is not there yet is created in the nearest one that is. */
async function nearestFolder(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined)
  const parent = dirname(path)
  return found !== undefined || parent === path ? path : nearestFolder(parent)
}

async function checkWritable(folder: string): Promise<Finding | undefined> {
  const probe = join(folder, `.holdfast-doctor-${process.pid}`)
  try {
    await access(folder, constants.W_OK | constants.X_OK)
    await writeFile(probe, '', { flag: 'wx' })
    await rm(probe)
    return undefined
  } catch (error) {
    return fail(
      'disk',
      `${folder} cannot be written (${messageOf(error)})`,
      'make it a folder that this user may write, or choose another',
    )
  }
}

function inUnits(bytes: number): string {
  const gib = bytes / 1024 ** 3
  return gib >= 1 ? `${gib.toFixed(1)} GiB` : `${Math.round(bytes / 1024 ** 2)} MiB`
}
