import { ref, shallowRef } from 'vue'
import { isApiError } from '@/api/errors'
import type { ApiError } from '@/api/errors'

/**
 * A call that a page waits for: whether it runs and what it failed with. A second call while one runs is not made, so
 * that a button pressed twice does its work once.
 */
export function useTask<A extends unknown[], T>(work: (...given: A) => Promise<T>) {
  const running = ref(false)
  const error = shallowRef<ApiError | null>(null)

  async function run(...given: A): Promise<T | undefined> {
    if (running.value) return undefined
    running.value = true
    error.value = null
    try {
      return await work(...given)
    } catch (failure) {
      if (!isApiError(failure)) throw failure
      error.value = failure
      return undefined
    } finally {
      running.value = false
    }
  }

  return { run, running, error }
}
