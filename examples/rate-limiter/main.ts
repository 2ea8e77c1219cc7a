/** A rate limiter for a whole fleet: whoever asks, and wherever, the same bucket answers. */
import { withCluster } from '../support/embedded.ts'
import { Limiter } from './limiter.ts'

await withCluster([Limiter], async (hf) => {
  const limiter = hf.actor(Limiter, 'customer-42')
  const answers = await Promise.all(Array.from({ length: 12 }, () => limiter.take(1)))
  console.log(answers.filter(({ allowed }) => allowed).length, 'of 12 at once')
  const refused = answers.filter(({ allowed }) => !allowed)
  console.log(
    'told to wait:',
    refused.every(({ retryAfterMs }) => retryAfterMs > 0 && retryAfterMs <= 200),
  )
})
