/**
 * The program of the disk thread: everything that touches RocksDB.
 *
 * Why a thread: the binding writes on the JavaScript thread, where a write may be stalled by compaction, and positions
 * iterators there; and a damaged block found by its asynchronous read ends the process as an uncaught exception instead of
 * failing the read. Here all calls are the synchronous ones, which fail as they should and block nobody but the disk.
 *
 * T1. Requests are executed one after the other, in the order of the questions; only `open` and `close` overlap with others.
 * T2. Every question gets one answer.
 *
 * The function below is run from its own text (see `diskThreadSource`), so that the same program runs from sources and from
 * a build: it uses nothing from outside of it but its arguments and globals.
 */
// oxlint-disable no-underscore-dangle -- the binding's own names
import type { MessagePort } from 'node:worker_threads'
import type { DatabaseOptions, DiskAnswer, DiskQuestion, DiskRequest, Packed } from './disk-protocol.ts'

/** The part of @nxtedition/rocksdb 12.2.12 that is used; the names with `_` are its own synchronous interface. */
interface RocksLevel {
  open(): Promise<void>
  close(): Promise<void>
  batch(): {
    _put(key: Uint8Array, value: Uint8Array): void
    _del(key: Uint8Array): void
    _writeSync(options: object): void
    close(): Promise<void>
  }
  _getManySync(keys: readonly Uint8Array[], options: object): (Uint8Array | undefined)[]
  iterator(options: object): RocksIterator
}
interface RocksIterator {
  _seekSync(target: Uint8Array): void
  _nextvSync(count: number): { rows: Uint8Array[]; finished: boolean }
  close(): Promise<void>
}
interface Binding {
  readonly RocksLevel: new (
    path: string,
    options: DatabaseOptions & { keyEncoding: 'buffer'; valueEncoding: 'buffer' },
  ) => RocksLevel
}

function diskThread(port: MessagePort, load: (path: string) => unknown, modulePath: string): void {
  const rowsAtOnce = 1_000
  const bytesAtOnce = 262_144
  const encodings = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const
  const databases = new Map<string, RocksLevel>()
  const ranges = new Map<number, { path: string; iterator: RocksIterator }>()

  const parts = ({ bytes, lengths }: Packed): (Uint8Array | null)[] => {
    let at = 0
    return Array.from(lengths, (length) => (length < 0 ? null : bytes.subarray(at, (at += length))))
  }
  const pack = (values: readonly (Uint8Array | undefined)[]): Packed => {
    const lengths = Int32Array.from(values, (value) => (value === undefined ? -1 : value.length))
    const bytes = new Uint8Array(values.reduce((sum, value) => sum + (value?.length ?? 0), 0))
    let at = 0
    for (const value of values) {
      if (value === undefined) continue
      bytes.set(value, at)
      at += value.length
    }
    return { bytes, lengths }
  }
  const database = (path: string): RocksLevel => {
    const found = databases.get(path)
    if (found === undefined) throw Object.assign(new Error('this store is closed'), { code: 'CLOSED' })
    return found
  }
  const isAt = (place: Uint8Array, key: Uint8Array | undefined) => key !== undefined && Buffer.compare(key, place) === 0
  const endRange = async (id: number) => {
    const range = ranges.get(id)
    ranges.delete(id)
    await range?.iterator.close()
  }

  const serve = async (request: DiskRequest): Promise<{ rows: Packed | null; finished: boolean }> => {
    const nothing = { rows: null, finished: false }
    switch (request.op) {
      case 'open': {
        const { RocksLevel } = load(modulePath) as Binding
        const opened = new RocksLevel(request.path, { ...request.options, ...encodings })
        await opened.open()
        databases.set(request.path, opened)
        return nothing
      }
      case 'close': {
        const closing = database(request.path)
        databases.delete(request.path)
        for (const [id, range] of ranges) if (range.path === request.path) await endRange(id)
        await closing.close()
        return nothing
      }
      case 'write': {
        const batch = database(request.path).batch()
        try {
          const keysAndValues = parts(request.batch)
          for (let i = 0; i < keysAndValues.length; i += 2) {
            const value = keysAndValues[i + 1]!
            if (value === null) batch._del(keysAndValues[i]!)
            else batch._put(keysAndValues[i]!, value)
          }
          batch._writeSync({})
        } finally {
          void batch.close()
        }
        return nothing
      }
      case 'read': {
        const keys = parts(request.keys).map((key) => key!)
        return { rows: pack(database(request.path)._getManySync(keys, encodings)), finished: true }
      }
      case 'begin': {
        const { path, gte, lt, reverse = false } = request
        const bounds = lt === undefined ? { gte } : { gte, lt }
        const iterator = database(path).iterator({ ...bounds, reverse, highWaterMarkBytes: bytesAtOnce, ...encodings })
        ranges.set(request.range, { path, iterator })
        return nothing
      }
      case 'next': {
        const range = ranges.get(request.range)
        if (range === undefined) throw Object.assign(new Error('this store is closed'), { code: 'CLOSED' })
        const { iterator } = range
        const { seek, exclusive = false, limit = rowsAtOnce } = request
        if (seek !== undefined) {
          iterator._seekSync(seek)
          // Passed over by itself: a page ends behind a row that is large, also where nobody wants that row.
          if (exclusive && !isAt(seek, iterator._nextvSync(1).rows[0])) iterator._seekSync(seek)
        }
        const { rows, finished } = iterator._nextvSync(limit)
        return { rows: pack(rows), finished }
      }
      case 'end':
        await endRange(request.range)
        return nothing
    }
  }

  port.on('message', ({ id, request }: DiskQuestion) => {
    serve(request).then(
      ({ rows, finished }) => {
        const answer: DiskAnswer = { id, kind: 'done', rows, finished }
        port.postMessage(answer, rows === null ? [] : [rows.bytes.buffer as ArrayBuffer])
      },
      (error: Error & { code?: string; cause?: Error & { code?: string } }) => {
        // What opening failed by is the cause of what `open` says.
        const { code = '', message } = error.cause ?? error
        const answer: DiskAnswer = { id, kind: 'failed', code, message }
        port.postMessage(answer)
      },
    )
  })
}

/** The text to run in a worker. */
export const diskThreadSource = `
'use strict'
const __name = (named) => named // some loaders of TypeScript call it
const { parentPort, workerData } = require('node:worker_threads')
;(${diskThread.toString()})(parentPort, require, workerData.modulePath)
`
