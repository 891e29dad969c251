/** Where the operators' other tools are. */
import { defineStore } from 'pinia'
import { ref } from 'vue'
import { api, unwrap } from '@/api/client'
import { isApiError } from '@/api/errors'

export const useAdminLinks = defineStore('adminLinks', () => {
  const flower = ref<string | null>(null)
  const grafana = ref<string | null>(null)

  async function load(): Promise<void> {
    try {
      const found = await unwrap(api.GET('/api/admin/links'))
      flower.value = found.flower
      grafana.value = found.grafana
    } catch (error) {
      // The pages work without them, and say themselves what is wrong with the server.
      if (!isApiError(error)) throw error
    }
  }

  return { flower, grafana, load }
})
