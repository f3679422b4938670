variable "layer_arn" {
  description = "ARN of the lrap-otel layer in this region, with its version."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:lambda:[^:]+:[0-9]{12}:layer:[^:]+:[0-9]+$", var.layer_arn))
    error_message = "layer_arn needs its version: arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION."
  }
}

variable "endpoint" {
  description = "Where the collector takes OTLP over HTTP."
  type        = string

  validation {
    condition     = can(regex("^https?://", var.endpoint))
    error_message = "endpoint is an http:// or https:// address."
  }
}

variable "runtime" {
  description = "The function's runtime, for example python3.13."
  type        = string
}

variable "layers" {
  description = "The function's other layers."
  type        = list(string)
  default     = []
}

variable "environment_variables" {
  description = "The function's own variables."
  type        = map(string)
  default     = {}
}

variable "next_wrapper" {
  description = "The wrapper that the function was started through before."
  type        = string
  default     = null
}
