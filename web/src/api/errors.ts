import type { components } from './schema'

type Body = Partial<components['schemas']['Error']> & Record<string, unknown>

/** What an API call failed with. `code` is stable; `title` and `hint` are the server's words in the reader's language. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly hint: string,
    readonly body: Body = {},
  ) {
    super(`${code}: ${title}`)
  }

  /** The code of a failure without an answer: no connection, or a connection that broke. */
  static readonly NETWORK = 'NETWORK'

  /** Whether the server has decided; otherwise the request may have been carried out all the same. */
  get isDefinite(): boolean {
    return this.status >= 400 && this.status < 500
  }

  get needsMoney(): boolean {
    return this.status === 402
  }

  /** What is wrong with each field, if the server said so. */
  get fields(): [string, string][] {
    return Object.entries((this.body.details ?? {}) as Record<string, string[]>).map(([name, words]) => [
      name,
      words.join(' '),
    ])
  }

  /** What is wrong with the first of these fields that something is wrong with, or with a part of it. */
  of(...names: string[]): string | undefined {
    return this.fields.find(([field]) => names.some((name) => belongs(field, name)))?.[1]
  }
}

/** Whether a field is this one or lies in it: `template.fields` lies in `template`. */
export function belongs(field: string, name: string): boolean {
  return field === name || field.startsWith(`${name}.`)
}

export function networkError(): ApiError {
  return new ApiError(0, ApiError.NETWORK, '', '')
}

/** The failure that a response says; one that is no JSON of ours (a proxy's page) is told by its status alone. */
export async function errorOf(response: Response): Promise<ApiError> {
  let body: Body = {}
  try {
    body = (await response.clone().json()) as Body
  } catch {
    // No JSON: the status has to do.
  }
  return new ApiError(
    response.status,
    typeof body.code === 'string' ? body.code : `HTTP_${response.status}`,
    typeof body.error === 'string' ? body.error : '',
    typeof body.message === 'string' ? body.message : '',
    body,
  )
}

export function isApiError(error: unknown): error is ApiError {
  return error instanceof ApiError
}
