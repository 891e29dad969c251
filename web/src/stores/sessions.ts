/** The list of dialogs. */
import { defineStore } from 'pinia'
import { ref } from 'vue'
import type { Session } from '@/api/chat'
import { api, unwrap } from '@/api/client'
import { isApiError } from '@/api/errors'
import type { ApiError } from '@/api/errors'
import type { components } from '@/api/schema'

export type Found = components['schemas']['FoundMessage']

const PAGE = 50

export const useSessions = defineStore('sessions', () => {
  const sessions = ref<Session[]>([])
  const next = ref<string | null>(null)
  const loading = ref(false)
  const loaded = ref(false)
  const error = ref<ApiError | null>(null)
  // Only the newest answer counts, and none to a question of whoever was here before.
  let asked = 0

  async function read(cursor?: string): Promise<void> {
    asked += 1
    const mine = asked
    loading.value = true
    error.value = null
    try {
      const page = await unwrap(
        api.GET('/api/chat/sessions', { params: { query: { limit: PAGE, ...(cursor ? { cursor } : {}) } } }),
      )
      if (mine !== asked) return
      sessions.value = cursor ? [...sessions.value, ...page.sessions] : page.sessions
      next.value = page.nextCursor
      loaded.value = true
    } catch (failure) {
      if (!isApiError(failure)) throw failure
      if (mine === asked) error.value = failure
    } finally {
      if (mine === asked) loading.value = false
    }
  }

  const refresh = () => read()
  const more = () => (next.value === null ? Promise.resolve() : read(next.value))

  async function rename(id: string, title: string): Promise<void> {
    const { session } = await unwrap(
      api.PATCH('/api/chat/sessions/{sessionId}', { params: { path: { sessionId: id } }, body: { title } }),
    )
    sessions.value = sessions.value.map((each) => (each.id === id ? session : each))
  }

  async function remove(id: string): Promise<void> {
    await unwrap(api.DELETE('/api/chat/sessions/{sessionId}', { params: { path: { sessionId: id } } }))
    sessions.value = sessions.value.filter((each) => each.id !== id)
  }

  async function search(words: string): Promise<Found[]> {
    return (await unwrap(api.GET('/api/chat/search', { params: { query: { q: words, limit: 50 } } }))).results
  }

  function forget(): void {
    asked += 1
    loading.value = false
    error.value = null
    sessions.value = []
    next.value = null
    loaded.value = false
  }

  return { sessions, next, loading, loaded, error, refresh, more, rename, remove, search, forget }
})
