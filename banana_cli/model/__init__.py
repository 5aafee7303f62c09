"""The model: torch and safetensors only; knows no files of users and no domains."""
