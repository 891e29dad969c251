/** What can be spent; always in view. */
import { defineStore } from 'pinia'
import { ref } from 'vue'
import { api, unwrap } from '@/api/client'
import type { components } from '@/api/schema'

export type Billing = components['schemas']['Billing']

export const useMoney = defineStore('money', () => {
  const billing = ref<Billing | null>(null)
  const failed = ref(false)

  async function refresh(): Promise<void> {
    try {
      billing.value = await unwrap(api.GET('/api/billing'))
      failed.value = false
    } catch {
      // It is shown beside everything else: an old figure is marked, not replaced by an error.
      failed.value = true
    }
  }

  function forget(): void {
    billing.value = null
    failed.value = false
  }

  return { billing, failed, refresh, forget }
})
