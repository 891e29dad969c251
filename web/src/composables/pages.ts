import { ref, shallowRef } from 'vue'
import { useTask } from './task'

/** A list that is read page by page. */
export function usePages<T>(read: (cursor: string | undefined) => Promise<{ items: T[]; next: string | null }>) {
  const items = shallowRef<T[]>([])
  const next = ref<string | null>(null)
  const loaded = ref(false)

  const task = useTask(async (cursor?: string) => {
    const page = await read(cursor)
    items.value = cursor === undefined ? page.items : [...items.value, ...page.items]
    next.value = page.next
    loaded.value = true
  })
  const refresh = () => task.run()
  const more = () => (next.value === null ? Promise.resolve() : task.run(next.value))

  return { items, next, loaded, running: task.running, error: task.error, refresh, more }
}
