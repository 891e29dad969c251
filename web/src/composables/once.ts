import { newKey } from '@/api/client'
import { isApiError } from '@/api/errors'

/**
 * Sends requests that must happen once under a key that stays the same until it is known what became of them: who tries
 * again after a lost connection sends the same request once more. Another body is another request.
 */
export function useOnce() {
  let key = ''
  let body = ''

  async function once<B, T>(wanted: B, send: (body: B, headers: { 'Idempotency-Key': string }) => Promise<T>): Promise<T> {
    const text = JSON.stringify(wanted)
    if (key === '' || text !== body) key = newKey()
    body = text
    try {
      const done = await send(wanted, { 'Idempotency-Key': key })
      key = ''
      return done
    } catch (error) {
      if (isApiError(error) && error.isDefinite) key = ''
      throw error
    }
  }

  return once
}
