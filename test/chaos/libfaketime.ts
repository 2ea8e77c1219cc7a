/** Where libfaketime is on this machine: LIBFAKETIME, or a place where systems put it. */
import { existsSync } from 'node:fs'

const places = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1',
  '/usr/lib64/faketime/libfaketimeMT.so.1',
  '/usr/lib/faketime/libfaketimeMT.so.1',
  '/usr/local/lib/faketime/libfaketimeMT.so.1',
]

export const libfaketime = (): string | undefined =>
  [process.env['LIBFAKETIME'] ?? '', ...places].find((path) => path !== '' && existsSync(path))
