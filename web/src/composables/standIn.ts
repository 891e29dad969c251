import { onMounted, ref } from 'vue'
import type { Ref } from 'vue'
import { api } from '@/api/client'

/** Whether answers come from a stand-in instead of a model. */
export function useStandIn(): Ref<boolean> {
  const standIn = ref(false)
  onMounted(async () => {
    try {
      const { data } = await api.GET('/health')
      standIn.value = data?.dependencies.upstream.standin === true
    } catch {
      // A service that is away says so elsewhere.
    }
  })
  return standIn
}
