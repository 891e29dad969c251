/** A question that was not taken and should not have to be typed again, as after paying on a page of somebody else. */
const KEY = 'talkmeter.draft'
const SPARE = 'talkmeter.spare'

export function keepDraft(question: string): void {
  sessionStorage.setItem(KEY, question)
}

export function dropDraft(): void {
  sessionStorage.removeItem(KEY)
  sessionStorage.removeItem(SPARE)
}

/** The session that was made for it and stayed empty: the question goes there when it is asked again. */
export function keepSpare(sessionId: string): void {
  sessionStorage.setItem(SPARE, sessionId)
}

export function spareSession(): string | null {
  return sessionStorage.getItem(SPARE)
}

/** The question that was kept, which is kept no longer. */
export function takeDraft(): string {
  const kept = sessionStorage.getItem(KEY) ?? ''
  sessionStorage.removeItem(KEY)
  return kept
}
