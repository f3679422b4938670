terraform {
  required_version = ">= 1.5"

  required_providers {
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.4"
    }
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "layer_arn" {
  description = "ARN of the lrap-otel layer in this region, with its version."
  type        = string
}

variable "endpoint" {
  description = "Where the collector takes OTLP over HTTP."
  type        = string
}

module "lrap_otel" {
  source = "./modules/lrap-otel"

  layer_arn = var.layer_arn
  endpoint  = var.endpoint
  runtime   = "python3.13"
}

data "archive_file" "code" {
  type        = "zip"
  source_dir  = "${path.module}/../python"
  output_path = "${path.module}/pets.zip"
  excludes    = ["__pycache__"]
}

data "aws_iam_policy_document" "lambda_may_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "pets" {
  name_prefix        = "pets-"
  assume_role_policy = data.aws_iam_policy_document.lambda_may_assume.json
}

resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.pets.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_lambda_function" "pets" {
  function_name    = "pets"
  role             = aws_iam_role.pets.arn
  runtime          = "python3.13"
  handler          = "app.handler"
  filename         = data.archive_file.code.output_path
  source_code_hash = data.archive_file.code.output_base64sha256
  memory_size      = 256
  timeout          = 10
  layers           = module.lrap_otel.layers

  environment {
    variables = module.lrap_otel.environment_variables
  }
}
