import { onMounted, watch } from 'vue'
import { usePages } from './pages'
import type { Found } from './pages'

/** A list that is read page by page, and from its beginning whenever `filters` change. */
export function useFilteredPages<T>(filters: () => unknown, read: (cursor: string | undefined) => Promise<Found<T>>) {
  const list = usePages(read)

  watch(() => JSON.stringify(filters()), async () => {
    await list.refresh()
    // What other filters found is not what these would find.
    if (list.error.value) list.clear()
  })
  onMounted(list.refresh)

  return list
}
