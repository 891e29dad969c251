import { computed } from 'vue'
import { useAuth } from '@/stores/auth'

/** What the operator who is logged in may do; the server decides it again. */
export function useStaff() {
  const auth = useAuth()
  const canChange = computed(() => auth.me?.role === 'admin')
  const isMe = (userId: string) => auth.me?.userId === userId
  return { canChange, isMe }
}
