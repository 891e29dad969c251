import { nextTick, onBeforeUnmount, onMounted, ref } from 'vue'
import type { Ref } from 'vue'

const NEAR_PIXELS = 80

/** Keeps the end of a growing box in view, unless somebody has scrolled up to read. */
export function useStickToEnd(box: Ref<HTMLElement | undefined>) {
  const sticks = ref(true)
  let observer: ResizeObserver | undefined

  function onScroll(): void {
    const element = box.value
    if (element) sticks.value = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_PIXELS
  }

  async function toEnd(): Promise<void> {
    sticks.value = true
    await nextTick()
    if (box.value) box.value.scrollTop = box.value.scrollHeight
  }

  onMounted(() => {
    const element = box.value
    if (!element) return
    element.addEventListener('scroll', onScroll, { passive: true })
    observer = new ResizeObserver(() => {
      if (sticks.value) element.scrollTop = element.scrollHeight
    })
    for (const child of element.children) observer.observe(child)
  })
  onBeforeUnmount(() => {
    box.value?.removeEventListener('scroll', onScroll)
    observer?.disconnect()
  })

  return { toEnd }
}
