/** What can be spent; always in view. */
import { defineStore } from 'pinia'
import { ref } from 'vue'
import { api, unwrap } from '@/api/client'
import type { components } from '@/api/schema'

export type Billing = components['schemas']['Billing']

export const useMoney = defineStore('money', () => {
  const billing = ref<Billing | null>(null)
  const failed = ref(false)
  // Only the newest answer counts, and none to a question of whoever was here before.
  let asked = 0

  async function refresh(): Promise<void> {
    asked += 1
    const mine = asked
    try {
      const found = await unwrap(api.GET('/api/billing'))
      if (mine !== asked) return
      billing.value = found
      failed.value = false
    } catch {
      // It is shown beside everything else: an old figure is marked, not replaced by an error.
      if (mine === asked) failed.value = true
    }
  }

  function forget(): void {
    asked += 1
    billing.value = null
    failed.value = false
  }

  return { billing, failed, refresh, forget }
})
