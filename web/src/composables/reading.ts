import { ref, shallowRef } from 'vue'
import { isApiError } from '@/api/errors'
import type { ApiError } from '@/api/errors'

/**
 * A call that reads what a page shows. Of several under way only the newest is heard, whichever is answered first: what
 * is shown belongs to what was asked for last. `show` gets what was read, and what it was read with.
 */
export function useReading<A extends unknown[], T>(read: (...given: A) => Promise<T>, show: (found: T, ...given: A) => void) {
  const running = ref(false)
  const error = shallowRef<ApiError | null>(null)
  let asked = 0

  async function run(...given: A): Promise<void> {
    asked += 1
    const mine = asked
    running.value = true
    error.value = null
    try {
      const found = await read(...given)
      if (mine === asked) show(found, ...given)
    } catch (failure) {
      if (!isApiError(failure)) throw failure
      if (mine === asked) error.value = failure
    } finally {
      if (mine === asked) running.value = false
    }
  }

  return { run, running, error }
}
