import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { Interest } from '../../src/adapters/memory/interest.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const heapBytes = () => {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

it.each(['_INBOX.client.*.*', '_INBOX.client.*.>', '_INBOX.client.*.a.*.b'])(
  'keeps nothing of %s when it is closed (I1)',
  (pattern) => {
    const interest = new Interest<object>()
    const listener = {}
    const subscriptions = 20_000
    const before = heapBytes()
    for (let i = 0; i < subscriptions; i++) {
      const own = pattern.replace('*', `${i}`)
      interest.add(own, listener)
      interest.remove(own, listener)
    }
    expect((heapBytes() - before) / subscriptions).toBeLessThan(50)
    expect(interest.match('_INBOX.client.5.a')).toEqual([])
  },
)

it('gives those that are there, whoever came and went beside, above and below them', () => {
  const random = new SeededRandom('interest')
  const word = (words: readonly string[]) => words[random.below(words.length)]!
  const patterns = Array.from({ length: 300 }, () => {
    const tokens = Array.from({ length: 1 + random.below(4) }, () => word(['a', 'b', '*']))
    return [...tokens, ...(random.below(3) === 0 ? ['>'] : [])].join('.')
  })
  const matches = (pattern: string, subject: string) =>
    new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '[^.]+').replace('>', '.+')}$`).test(subject)
  const interest = new Interest<string>()
  const there = new Set<string>()
  for (let step = 0; step < 5_000; step++) {
    const pattern = word(patterns)
    if (there.delete(pattern)) interest.remove(pattern, pattern)
    else {
      there.add(pattern)
      interest.add(pattern, pattern)
    }
    interest.remove(word(patterns), 'not there')
    const subject = Array.from({ length: 1 + random.below(4) }, () => word(['a', 'b', 'c'])).join('.')
    expect(interest.match(subject).sort()).toEqual([...there].filter((each) => matches(each, subject)).sort())
  }
})
