// Puts a graph of operators and a model's arrays into ONNX's protobuf.
#include "nn/onnx.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <set>
#include <string>

#include "core/config.h"
#include "core/error.h"
#include "core/whole_file.h"
#include "nn/graph.h"

namespace cucina::nn {
namespace {

constexpr std::int64_t kIrVersion = 8;
constexpr std::int64_t kOpset = 17;

void add_attribute(onnx::NodeProto* node, const std::string& name, const Graph::Attribute& value) {
  onnx::AttributeProto* attribute = node->add_attribute();
  attribute->set_name(name);
  if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    attribute->set_type(onnx::AttributeProto::INT);
    attribute->set_i(*integer);
  } else if (const auto* number = std::get_if<float>(&value)) {
    attribute->set_type(onnx::AttributeProto::FLOAT);
    attribute->set_f(*number);
  } else {
    attribute->set_type(onnx::AttributeProto::INTS);
    for (const std::int64_t each : std::get<std::vector<std::int64_t>>(value))
      attribute->add_ints(each);
  }
}

void add_node(onnx::GraphProto* proto, const Graph::Node& node) {
  onnx::NodeProto* added = proto->add_node();
  added->set_op_type(node.op);
  added->set_name(node.output);
  for (const std::string& input : node.inputs) added->add_input(input);
  added->add_output(node.output);
  for (const auto& [name, value] : node.attributes) add_attribute(added, name, value);
}

template <typename T>
void set_bytes(onnx::TensorProto* tensor, const std::vector<T>& values) {
  tensor->set_raw_data(values.data(), values.size() * sizeof(T));
}

void add_constant(onnx::GraphProto* proto, const Graph::Constant& constant) {
  onnx::TensorProto* tensor = proto->add_initializer();
  tensor->set_name(constant.name);
  for (const std::int64_t size : constant.shape) tensor->add_dims(size);
  if (const auto* floats = std::get_if<std::vector<float>>(&constant.values)) {
    tensor->set_data_type(onnx::TensorProto::FLOAT);
    set_bytes(tensor, *floats);
  } else {
    tensor->set_data_type(onnx::TensorProto::INT64);
    set_bytes(tensor, std::get<std::vector<std::int64_t>>(constant.values));
  }
}

// The arrays that nodes read; batch counts stay behind.
void add_arrays(onnx::GraphProto* proto, const Graph& graph, const Module& module) {
  std::set<std::string> read;
  for (const Graph::Node& node : graph.nodes()) read.insert(node.inputs.begin(), node.inputs.end());
  for (const TensorToStore& array : state(module)) {
    if (read.count(array.name) == 0) continue;
    onnx::TensorProto* tensor = proto->add_initializer();
    tensor->set_name(array.name);
    tensor->set_data_type(array.dtype == "F64" ? onnx::TensorProto::DOUBLE
                                               : onnx::TensorProto::FLOAT);
    for (const std::int64_t size : array.shape) tensor->add_dims(size);
    set_bytes(tensor, array.bytes);
  }
}

// Its first size, the number of images, is any.
void describe_value(onnx::ValueInfoProto* value, const std::string& name,
                    const std::vector<std::int64_t>& sizes) {
  value->set_name(name);
  onnx::TypeProto::Tensor* type = value->mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT);
  type->mutable_shape()->add_dim()->set_dim_param("N");
  for (const std::int64_t size : sizes) type->mutable_shape()->add_dim()->set_dim_value(size);
}

}  // namespace

bool onnx_available() { return true; }

void write_onnx(const std::filesystem::path& path, const Model& model, const ModelInfo& info) {
  const ModelSpec& spec = model.spec;
  Graph graph;
  const std::string result =
      model.net->write_graph({&graph, "", "input", {1, spec.h, spec.w, spec.c}});

  onnx::ModelProto proto;
  proto.set_ir_version(kIrVersion);
  proto.set_producer_name("cucina");
  proto.set_producer_version(std::string(kVersion));
  onnx::OperatorSetIdProto* opset = proto.add_opset_import();
  opset->set_domain("");
  opset->set_version(kOpset);
  for (const auto& [key, value] : model_metadata(model, info)) {
    onnx::StringStringEntryProto* entry = proto.add_metadata_props();
    entry->set_key(key);
    entry->set_value(value);
  }
  onnx::GraphProto* net = proto.mutable_graph();
  net->set_name(spec.name.empty() ? "net" : spec.name);
  describe_value(net->add_input(), "input", {spec.c, spec.h, spec.w});
  describe_value(net->add_output(), "logits", {spec.classes});
  for (const Graph::Node& node : graph.nodes()) add_node(net, node);
  add_node(net, {.op = "Identity", .inputs = {result}, .output = "logits", .attributes = {}});
  for (const Graph::Constant& constant : graph.constants()) add_constant(net, constant);
  add_arrays(net, graph, *model.net);

  WholeFile file(path, [&](const std::string& cause) {
    fail(ExitCode::run_failed,
         "{}: cannot be written ({}); free some space or choose another folder", path.string(),
         cause);
  });
  std::string bytes;
  if (!proto.SerializeToString(&bytes))
    fail(ExitCode::run_failed, "{}: the model is larger than a protobuf can be, 2 GB",
         path.string());
  file.write(bytes);
  file.finish();
}

}  // namespace cucina::nn
