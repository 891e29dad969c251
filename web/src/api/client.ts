/** The one door to the API: typed by its own OpenAPI document, with tokens renewed and failures made `ApiError`s. */
import createClient from 'openapi-fetch'
import { errorOf, networkError } from './errors'
import { language } from './language'
import type { paths } from './schema'
import { accessToken } from './tokens'

/** Whether the token was refused: a wrong password is a 401 too, and not to be tried twice. */
const isOfToken = (response: Response) => response.status === 401 && response.headers.has('WWW-Authenticate')

/** `fetch` as whoever is logged in. A token that the server refuses is renewed once. Rejects with `ApiError`. */
export async function authorizedFetch(input: Request | string, init?: RequestInit): Promise<Response> {
  const request = new Request(input instanceof Request ? input : new URL(input, location.origin), init)
  request.headers.set('Accept-Language', language())
  const token = await accessToken()
  const response = await send(request.clone(), token)
  if (!isOfToken(response) || token === null) return response
  const renewed = await accessToken(token)
  return renewed === null ? response : send(request, renewed)
}

async function send(request: Request, token: string | null): Promise<Response> {
  if (token !== null) request.headers.set('Authorization', `Bearer ${token}`)
  try {
    return await fetch(request)
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw networkError()
  }
}

export const api = createClient<paths>({
  baseUrl: typeof location === 'undefined' ? 'http://localhost' : location.origin,
  fetch: authorizedFetch,
})

interface Result<T> {
  data?: T
  response: Response
  error?: unknown
}

/** The data of a successful call. Throws `ApiError`. */
export async function unwrap<T>(call: Promise<Result<T>>): Promise<T> {
  const { data, error, response } = await call
  if (response.ok) return data as T
  throw await errorOf(new Response(JSON.stringify(error ?? {}), { status: response.status }))
}

/** For requests that must happen once however often they are sent. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
