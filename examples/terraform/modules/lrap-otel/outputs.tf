output "layers" {
  description = "For the function's `layers`."
  value       = concat(var.layers, [var.layer_arn])
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
