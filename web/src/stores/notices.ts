/** Short notices, read aloud by screen readers. */
import { defineStore } from 'pinia'
import { ref } from 'vue'

export interface Notice {
  id: number
  text: string
  kind: 'success' | 'danger'
}

const SHOWN_MS = 6_000

export const useNotices = defineStore('notices', () => {
  const notices = ref<Notice[]>([])
  let last = 0

  function say(text: string, kind: Notice['kind'] = 'success'): void {
    const id = (last += 1)
    notices.value.push({ id, text, kind })
    setTimeout(() => dismiss(id), SHOWN_MS)
  }

  function dismiss(id: number): void {
    notices.value = notices.value.filter((notice) => notice.id !== id)
  }

  return { notices, say, dismiss }
})
