import { computed } from 'vue'
import { useRoute, useRouter } from 'vue-router'

/**
 * Filters of a list, kept in the address: they can be reloaded, linked to and gone back to. `usual` names them all, with
 * what they are where the address doesn't say.
 */
export function useFilters<K extends string>(usual: Record<K, string>) {
  const route = useRoute()
  const router = useRouter()
  const names = Object.keys(usual) as K[]

  const values = computed(() => {
    const of = (name: K): string => {
      const given = route.query[name]
      return typeof given === 'string' ? given : usual[name]
    }
    return Object.fromEntries(names.map((name) => [name, of(name)])) as Record<K, string>
  })

  function change(changes: Partial<Record<K, string>>): void {
    const now = { ...values.value, ...changes }
    const query = Object.fromEntries(names.filter((name) => now[name] !== usual[name]).map((name) => [name, now[name]]))
    void router.replace({ query })
  }

  /** What to ask the API for: the filters that say something. */
  const given = computed(
    () => Object.fromEntries(Object.entries(values.value).filter(([, value]) => value !== '')) as Partial<Record<K, string>>,
  )

  return { values, given, change }
}
