# Gives a function what it needs to be traced: put `layers` and `environment_variables` into its
# aws_lambda_function. Terraform cannot change a function that somebody else declares, so the module
# computes; it creates nothing.

locals {
  # The managed runtimes that Lambda starts through a wrapper; the others' bootstraps ignore the variable.
  is_started_by_wrapper = length(regexall("^(python|nodejs|java|dotnet|ruby)", var.runtime)) > 0

  wrapper      = local.is_started_by_wrapper ? { AWS_LAMBDA_EXEC_WRAPPER = "/opt/lrap-otel/wrapper" } : {}
  next_wrapper = var.next_wrapper == null ? {} : { LRAP_NEXT_WRAPPER = var.next_wrapper }
}
