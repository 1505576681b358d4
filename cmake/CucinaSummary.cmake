# Says in a few lines what this build has.
function(cucina_summary_line what has how)
  if(${has})
    message(STATUS "  ${what}: yes")
  else()
    message(STATUS "  ${what}: no (${how})")
  endif()
endfunction()

message(STATUS "cucina ${PROJECT_VERSION}, ${CMAKE_BUILD_TYPE}, ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
cucina_summary_line("CUDA kernels (${CUCINA_CUDA_COMPILER}, sm ${CUCINA_CUDA_ARCHITECTURE_LIST})"
  CUCINA_HAS_CUDA "put nvcc on the PATH, or this is CUCINA_CUDA=OFF")
cucina_summary_line("cuDNN and cuBLASLt" CUCINA_HAS_CUDNN "needs CUDA and cuDNN 9")
cucina_summary_line("oneDNN" CUCINA_HAS_ONEDNN "package libdnnl-dev")
cucina_summary_line("ONNX export" CUCINA_HAS_ONNX "packages libonnx-dev and libprotobuf-dev")
cucina_summary_line("PNG and JPEG files" CUCINA_HAS_IMAGES "packages libpng-dev and libjpeg-dev")
