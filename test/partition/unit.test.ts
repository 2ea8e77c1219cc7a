import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Unit, type UnitHost } from '../../src/partition/unit.ts'
import { encodeRecord } from '../../src/protocol/record.ts'
import { bareCommit } from '../protocol/bare-commit.ts'

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
      const taken = encodeRecord({ ...bareCommit, outputs }).length - encodeRecord(bareCommit).length
      expect(taken).toBeLessThanOrEqual(unit.bytes)
    }),
  )
})
