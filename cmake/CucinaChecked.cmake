# The checked build: host kernels compiled so that every memory access calls simt's race detector. -fsanitize=thread only
# inserts the calls; what answers them is kernels/simt/checked_runtime.cpp, not libtsan, which is not linked.
set(CUCINA_CHECKED_FLAGS -fsanitize=thread -g1 -O1 -Wno-tsan)

add_library(cucina_checked_kernels OBJECT ${CUCINA_KERNELS})
target_link_libraries(cucina_checked_kernels PUBLIC cucina_flags)
target_compile_options(cucina_checked_kernels PRIVATE ${CUCINA_CHECKED_FLAGS})
target_compile_definitions(cucina_checked_kernels PRIVATE CUCINA_SIMT_REMOVABLE_BARRIERS)

add_library(cucina_checked STATIC ${CUCINA_OBJECTS} $<TARGET_OBJECTS:cucina_checked_kernels>)
target_link_libraries(cucina_checked PUBLIC cucina_flags ${CUCINA_LIBDW})

# The runtime registers itself when the program starts, so it is linked as objects: nothing would pull it from a library.
set(simt ${PROJECT_SOURCE_DIR}/kernels/simt)
add_library(cucina_checked_runtime OBJECT
  ${simt}/checked.cpp ${simt}/checked_runtime.cpp ${simt}/race_detector.cpp ${simt}/source_lines.cpp)
target_link_libraries(cucina_checked_runtime PRIVATE cucina_flags)
target_sources(cucina_checked INTERFACE $<TARGET_OBJECTS:cucina_checked_runtime>)
