import { describe, expect, it } from 'vitest'
import { rocksDbUnavailable, storeFailure } from '../../src/adapters/rocksdb/failure.ts'

const supported = 'nodes run on linux-x64 with glibc 2.34 or newer and on darwin-arm64'

describe('where RocksDB cannot be loaded, the error', () => {
  it.each([
    ['linux-x64', 'glibc 2.31', 'this is linux-x64 with glibc 2.31'],
    ['linux-arm64', 'another libc than glibc (musl?)', 'this is linux-arm64 with another libc than glibc (musl?)'],
    ['win32-x64', '', 'this is win32-x64, and'],
  ])('names the platform %s %s, and where nodes run', (name, libc, here) => {
    const { code, message } = rocksDbUnavailable(new Error('invalid ELF header'), { name, libc })
    expect(code).toBe('INVALID')
    expect(message).toContain(here)
    expect(message).toContain(supported)
    expect(message).toContain('RocksDB cannot be loaded')
    expect(message).toContain('"holdfast/client"')
  })

  it('says so where the package is not installed', () => {
    const cause = new Error("Cannot find module '@nxtedition/rocksdb'")
    expect(rocksDbUnavailable(cause).message).toContain('RocksDB (@nxtedition/rocksdb) is not installed')
  })

  it('names this platform where none is given', () => {
    const { message } = rocksDbUnavailable(new Error('x'))
    expect(message).toContain(`this is ${process.platform}-${process.arch}`)
    expect(message).toMatch(process.platform === 'linux' ? /with (?:glibc \d|another libc)/ : /, and nodes run/)
  })

  it.each([
    ['ERR_DLOPEN_FAILED', "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found"],
    ['', 'No native build was found for platform=linux arch=arm64 runtime=node abi=115 uv=1 libc=glibc node=20.20.2'],
    ['MODULE_NOT_FOUND', "Cannot find module './prebuilds'"],
  ])('is what a store fails with: %s %s', (code, message) => {
    expect(storeFailure('/data/p0', code, message)).toMatchObject({ message: expect.stringContaining(supported) })
  })
})
