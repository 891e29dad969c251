import { onMounted, ref, shallowRef, watch } from 'vue'
import { isApiError } from '@/api/errors'
import type { ApiError } from '@/api/errors'

/**
 * A list that is read page by page, and from its beginning whenever `filters` change. Of several questions under way
 * only the newest is heard, whichever is answered first.
 */
export function useFilteredPages<T>(
  filters: () => unknown,
  read: (cursor: string | undefined) => Promise<{ items: T[]; next: string | null }>,
) {
  const items = shallowRef<T[]>([])
  const next = ref<string | null>(null)
  const loaded = ref(false)
  const running = ref(false)
  const error = shallowRef<ApiError | null>(null)
  let asked = 0

  async function load(cursor?: string): Promise<void> {
    asked += 1
    const mine = asked
    running.value = true
    error.value = null
    try {
      const page = await read(cursor)
      if (mine !== asked) return
      items.value = cursor === undefined ? page.items : [...items.value, ...page.items]
      next.value = page.next
      loaded.value = true
    } catch (failure) {
      if (!isApiError(failure)) throw failure
      if (mine === asked) error.value = failure
    } finally {
      if (mine === asked) running.value = false
    }
  }

  const refresh = () => load()
  const more = () => (next.value === null ? Promise.resolve() : load(next.value))
  watch(() => JSON.stringify(filters()), refresh)
  onMounted(refresh)

  return { items, next, loaded, running, error, refresh, more }
}
