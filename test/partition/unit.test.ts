import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Unit, type UnitHost } from '../../src/partition/unit.ts'
import { epoch, incarnation, partitionId, seq } from '../../src/protocol/ids.ts'
import {
  encodeRecord,
  linkBytes,
  stateHashBytes,
  type CommitRecord,
  type OutputRecord,
} from '../../src/protocol/record.ts'

const recordOf = (outputs: readonly OutputRecord[]): CommitRecord => ({
  kind: 'commit',
  partition: partitionId(0),
  epoch: epoch(1),
  incarnation: incarnation('i'),
  prev: new Uint8Array(linkBytes),
  time: 0,
  published: seq(0),
  stateHash: new Uint8Array(stateHashBytes),
  sessions: [],
  ended: [],
  turns: [],
  outputs,
})

const host: UnitHost = {
  replica: { peek: () => undefined, load: () => Promise.resolve([]) },
  reserved: new Set(),
  tombstoneMs: 1,
  maxBytes: 1_000_000,
  now: () => 0,
  finish: () => {},
}

it('what a unit sends takes no more of its record than it counts (U5)', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'ö', '한', '🛒'), maxLength: 300, size: 'max' })
  const output = fc.record({
    subject: text,
    data: fc.uint8Array({ maxLength: 300 }),
    headers: fc.dictionary(fc.stringMatching(/^[A-Z][a-z-]{0,8}$/), text, { maxKeys: 3 }),
  })
  fc.assert(
    fc.property(fc.array(output, { maxLength: 5 }), (outputs) => {
      const unit = new Unit(host)
      for (const each of outputs) unit.send(each)
      const taken = encodeRecord(recordOf(outputs)).length - encodeRecord(recordOf([])).length
      expect(taken).toBeLessThanOrEqual(unit.bytes)
    }),
  )
})
