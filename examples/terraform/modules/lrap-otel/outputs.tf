output "layers" {
  # First, so that a file that another layer has at the same path is the one that counts.
  description = "For the function's `layers`."
  value       = concat([var.layer_arn], var.layers)
}

output "environment_variables" {
  description = "For the function's `environment`."
  value = merge(
    var.environment_variables,
    local.wrapper,
    local.next_wrapper,
    { OTEL_EXPORTER_OTLP_ENDPOINT = var.endpoint },
  )
}
