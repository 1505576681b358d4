# Compile flags, include folders and libraries that every part of cucina shares, as the target cucina_flags.
add_library(cucina_flags INTERFACE)
target_include_directories(cucina_flags INTERFACE
  ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)

# -Wno-stringop-overflow: GCC 12 warns inside fmt 9's headers, where nothing overflows.
# The same bits on host and GPU: no contraction of a * b + c unless the source says fma(). The other two flags let loops
# vectorise and change no result.
target_compile_options(cucina_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-stringop-overflow -ffp-contract=off -fno-math-errno -fno-trapping-math>)
if(CUCINA_NATIVE)
  target_compile_options(cucina_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-march=native>)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  string(REPLACE "-DNDEBUG" "" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
endif()
if(CUCINA_SANITIZE)
  target_compile_options(cucina_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${CUCINA_SANITIZE}
    -fno-sanitize-recover=all -fno-omit-frame-pointer -g1>)
  if(CUCINA_SANITIZE MATCHES "undefined")
    target_compile_options(cucina_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=bounds-strict>)
  endif()
  target_link_options(cucina_flags INTERFACE -fsanitize=${CUCINA_SANITIZE})
endif()

target_link_libraries(cucina_flags INTERFACE
  fmt::fmt nlohmann_json::nlohmann_json CLI11::CLI11 Boost::context OpenSSL::Crypto ZLIB::ZLIB
  OpenMP::OpenMP_CXX Threads::Threads)
if(CUCINA_HAS_ONEDNN)
  target_link_libraries(cucina_flags INTERFACE DNNL::dnnl)
endif()
if(CUCINA_HAS_ONNX)
  target_link_libraries(cucina_flags INTERFACE $<LINK_ONLY:onnx_proto>)
endif()
if(CUCINA_HAS_IMAGES)
  target_link_libraries(cucina_flags INTERFACE PNG::PNG JPEG::JPEG)
endif()
if(CUCINA_HAS_CUDA)
  target_include_directories(cucina_flags SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(cucina_flags INTERFACE CUDA::cudart_static)
endif()
if(CUCINA_HAS_CUDNN)
  target_include_directories(cucina_flags SYSTEM INTERFACE ${CUDNN_INCLUDE_DIR})
  target_link_libraries(cucina_flags INTERFACE ${CUDNN_LIBRARY} CUDA::cublasLt)
endif()
