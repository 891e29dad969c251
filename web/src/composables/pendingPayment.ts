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

  async function ask(id: string): Promise<void> {
    try {
      const found = await unwrap(api.GET('/api/billing/payments/{paymentId}', { params: { path: { paymentId: id } } }))
      payment.value = found
      if (found.status !== 'pending') {
        sessionStorage.removeItem(KEY)
        onDecided(found)
        return
      }
    } catch (error) {
      // Another account's, or of another installation.
      if (isApiError(error) && (error.status === 404 || error.status === 403)) {
        sessionStorage.removeItem(KEY)
        return
      }
    }
    timer = setTimeout(() => void ask(id), ASK_EVERY_MS)
  }

  function watchOver(begun: Payment): void {
    clearTimeout(timer)
    payment.value = begun
    sessionStorage.setItem(KEY, begun.paymentId)
    timer = setTimeout(() => void ask(begun.paymentId), ASK_EVERY_MS)
  }

  /** Goes on with the one that was begun before this page was left. */
  function resume(): void {
    const id = sessionStorage.getItem(KEY)
    if (id) void ask(id)
  }

  onBeforeUnmount(() => clearTimeout(timer))
  return { payment, watchOver, resume }
}
