/** The payment that was begun here: asked about until it is decided, also after the way to the provider and back. */
import { onBeforeUnmount, shallowRef } from 'vue'
import { api, unwrap } from '@/api/client'
import { isApiError } from '@/api/errors'
import type { components } from '@/api/schema'

export type Payment = components['schemas']['PaymentView']

const KEY = 'talkmeter.payment'
const ASK_EVERY_MS = 2_000

export function usePendingPayment(onDecided: (payment: Payment) => void) {
  const payment = shallowRef<Payment | null>(null)
  let timer: ReturnType<typeof setTimeout> | undefined
  /** The one that is asked about; null once this page was left. */
  let watched: string | null = null

  async function ask(id: string): Promise<void> {
    try {
      const found = await unwrap(api.GET('/api/billing/payments/{paymentId}', { params: { path: { paymentId: id } } }))
      if (watched !== id) return
      payment.value = found
      if (found.status !== 'pending') {
        sessionStorage.removeItem(KEY)
        onDecided(found)
        return
      }
    } catch (error) {
      if (!isApiError(error)) throw error
      if (watched !== id) return
      // Another account's, or of another installation.
      if (error.status === 404 || error.status === 403) {
        sessionStorage.removeItem(KEY)
        return
      }
      // Nobody is logged in: who comes back asks again.
      if (error.status === 401) return
    }
    askLater(id)
  }

  function askLater(id: string): void {
    clearTimeout(timer)
    timer = setTimeout(() => void ask(id), ASK_EVERY_MS)
  }

  function watchOver(begun: Payment): void {
    watched = begun.paymentId
    payment.value = begun
    sessionStorage.setItem(KEY, begun.paymentId)
    askLater(begun.paymentId)
  }

  /** Goes on with the one that was begun before this page was left. */
  function resume(): void {
    watched = sessionStorage.getItem(KEY)
    if (watched) void ask(watched)
  }

  onBeforeUnmount(() => {
    watched = null
    clearTimeout(timer)
  })
  return { payment, watchOver, resume }
}
