/** State that nobody asks for, so that there is a lot of it. */
import { randomFillSync } from 'node:crypto'
import { isHoldfastError, type HoldfastError } from '../../src/index.ts'
import type { World } from './world.ts'

export const ballastBytes = 64 * 1_024
const inFlight = 64
const passing: ReadonlySet<HoldfastError['code']> = new Set(['OVERLOADED', 'RETRY', 'TIMEOUT', 'UNKNOWN'])

/** Puts values of 64 KiB that cannot be compressed. */
export async function putBallast({ client }: World, values: number): Promise<void> {
  const store = client.kv<Uint8Array>('ballast')
  let next = 0
  const worker = async () => {
    while (next < values) {
      const key = `b${next++}`
      for (let put = false; !put;) put = await tried(() => store.put(key, randomFillSync(new Uint8Array(ballastBytes))))
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
}

/** `false`: it is to be put again, which does no harm. */
async function tried(put: () => Promise<number>): Promise<boolean> {
  try {
    await put()
    return true
  } catch (error) {
    if (isHoldfastError(error) && passing.has(error.code)) return false
    throw error
  }
}
