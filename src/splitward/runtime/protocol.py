"""The messages of the Open Inference Protocol (KServe v2) that device and cloud speak, as protobuf.

tritonclient brings stubs of them too, and with them 35 MB that a device does not need. These here are made at import,
in a pool of their own: a second definition of one name in protobuf's common pool would be an error, and who uses
tritonclient in the same process has the first. ``protocol.ModelInferRequest`` and so on are their classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"

_DEFINED = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "bool live",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "bool ready",
    "ModelReadyRequest": "string name, string version",
    "ModelReadyResponse": "bool ready",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "string name, string version, string* extensions",
    "ModelMetadataRequest": "string name, string version",
    "ModelMetadataResponse": "string name, string* versions, string platform, TensorMetadata* inputs, "
    "TensorMetadata* outputs",
    "TensorMetadata": "string name, string datatype, int64* shape",
    "InferParameter": "bool bool_param, int64 int64_param, string string_param, double double_param, "
    "uint64 uint64_param",
    "InferTensorContents": "bool* bool_contents, int32* int_contents, int64* int64_contents, uint32* uint_contents, "
    "uint64* uint64_contents, float* fp32_contents, double* fp64_contents, bytes* bytes_contents",
    "ModelInferRequest": "string model_name, string model_version, string id, map parameters, "
    "InferInputTensor* inputs, InferRequestedOutputTensor* outputs, bytes* raw_input_contents",
    "InferInputTensor": "string name, string datatype, int64* shape, map parameters, InferTensorContents contents",
    "InferRequestedOutputTensor": "string name, map parameters",
    "ModelInferResponse": "string model_name, string model_version, string id, map parameters, "
    "InferOutputTensor* outputs, bytes* raw_output_contents",
    "InferOutputTensor": "string name, string datatype, int64* shape, map parameters, InferTensorContents contents",
    "ModelStreamInferResponse": "string error_message, ModelInferResponse infer_response",
}
"""Each message's fields, numbered from 1: ``*`` is repeated, ``map`` from texts to ``InferParameter``."""
_CHOICES = {"InferParameter": "parameter_choice"}
"""Messages that hold one of their fields only."""

_Field = descriptor_pb2.FieldDescriptorProto


def _field(made: Any, kind: str, name: str, number: int, choice: bool) -> None:
    field = made.field.add(name=name, number=number, label=_Field.LABEL_REPEATED)
    if kind == "map":
        entry = made.nested_type.add(name="ParametersEntry")
        entry.options.map_entry = True
        _field(entry, "string", "key", 1, choice=False)
        _field(entry, "InferParameter", "value", 2, choice=False)
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".inference.{made.name}.ParametersEntry"
        return
    if not kind.endswith("*"):
        field.label = _Field.LABEL_OPTIONAL
    kind = kind.removesuffix("*")
    if kind in _DEFINED:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".inference.{kind}"
    else:
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")
    if choice:
        field.oneof_index = 0


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="splitward/protocol.proto", package="inference", syntax="proto3")
    for name, fields in _DEFINED.items():
        made = file.message_type.add(name=name)
        if name in _CHOICES:
            made.oneof_decl.add(name=_CHOICES[name])
        for number, field in enumerate(filter(None, fields.split(", ")), start=1):
            kind, label = field.split()
            _field(made, kind, label, number, choice=name in _CHOICES)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}")) for name in _DEFINED}


globals().update(_classes())

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
