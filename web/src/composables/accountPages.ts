import { computed } from 'vue'
import { useFilteredPages } from './filteredPages'
import { useFilters } from './filters'

const LIMIT = 20

/**
 * Everybody's things of one kind, or one account's, in one state or in all; the address keeps which. `read` gets the
 * parameters of the API's query, as the API calls them.
 */
export function useAccountPages<T>(
  account: () => string | undefined,
  read: (query: never) => Promise<{ items: T[]; next: string | null }>,
) {
  const { values, given, change } = useFilters({ status: '', userId: '' })
  const filters = computed(() => {
    const userId = account()
    return { ...given.value, ...(userId ? { userId } : {}) }
  })
  const list = useFilteredPages(
    () => filters.value,
    (cursor) => read({ ...filters.value, limit: LIMIT, ...(cursor ? { cursor } : {}) } as never),
  )
  return { list, values, change }
}
