import { ref, shallowRef } from 'vue'
import { useReading } from './reading'

export interface Found<T> {
  items: T[]
  next: string | null
  /** How many there are in all, where that is known. */
  total?: number
}

/** A list that is read page by page. */
export function usePages<T>(read: (cursor: string | undefined) => Promise<Found<T>>) {
  const items = shallowRef<T[]>([])
  const next = ref<string | null>(null)
  const total = ref(0)
  const loaded = ref(false)

  const { run, running, error } = useReading(
    (cursor?: string) => read(cursor),
    (page: Found<T>, cursor?: string) => {
      items.value = cursor === undefined ? page.items : [...items.value, ...page.items]
      next.value = page.next
      total.value = page.total ?? 0
      loaded.value = true
    },
  )
  const refresh = () => run()
  const more = () => (next.value === null ? Promise.resolve() : run(next.value))
  function clear(): void {
    items.value = []
    next.value = null
    loaded.value = false
  }

  return { items, next, total, loaded, running, error, refresh, more, clear }
}
