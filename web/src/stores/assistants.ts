/** Who can be asked, and which of them this browser asks. */
import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import { api, unwrap } from '@/api/client'
import { isApiError } from '@/api/errors'
import type { components } from '@/api/schema'

export type Assistant = components['schemas']['AssistantView']

const KEY = 'talkmeter.assistant'

export const useAssistants = defineStore('assistants', () => {
  const offered = ref<Assistant[]>([])
  // Only the newest answer counts, and none to a question of whoever was here before.
  let asked = 0
  const remembered = ref(localStorage.getItem(KEY) ?? '')
  /** The id to ask; empty, for the server's usual one, until it is known who is there. */
  const chosen = computed({
    get: () => offered.value.find((each) => each.id === remembered.value)?.id ?? offered.value[0]?.id ?? '',
    set: (id: string) => {
      remembered.value = id
      localStorage.setItem(KEY, id)
    },
  })

  async function refresh(): Promise<void> {
    asked += 1
    const mine = asked
    try {
      const found = await unwrap(api.GET('/api/assistants'))
      if (mine === asked) offered.value = found.assistants
    } catch (error) {
      // Without a list there is nothing to choose; one can ask all the same.
      if (!isApiError(error)) throw error
    }
  }

  function forget(): void {
    asked += 1
    offered.value = []
  }

  return { offered, chosen, refresh, forget }
})
