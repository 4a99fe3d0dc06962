# Puts pair_style tribond into LAMMPS itself, for a LAMMPS that is built from source by CMake. Nothing of LAMMPS is patched:
#
#   cmake -S lammps/cmake -B build -D CMAKE_PROJECT_lammps_INCLUDE=.../interfaces/lammps/package.cmake
#
# CMake reads this file after LAMMPS' own project(lammps). LAMMPS compiles every pair_*.cpp in its folder src.
#
# TRIBOND_DIR   folder with libtribond and tribond.h: `python -c "import tribond.compiled as c; print(c.FOLDER)"`
find_path(TRIBOND_DIR tribond.h DOC "folder with libtribond and tribond.h" NO_DEFAULT_PATH
    PATHS "${CMAKE_CURRENT_LIST_DIR}/../../lib" "${CMAKE_CURRENT_LIST_DIR}/../../src/tribond/lib")
if(NOT EXISTS "${TRIBOND_DIR}/tribond.h")
    message(FATAL_ERROR "There is no tribond.h in TRIBOND_DIR='${TRIBOND_DIR}'")
endif()
find_library(TRIBOND_LIBRARY tribond PATHS "${TRIBOND_DIR}" NO_DEFAULT_PATH REQUIRED)
file(GLOB sources "${CMAKE_CURRENT_LIST_DIR}/pair_tribond*")
foreach(source ${sources})
    get_filename_component(name "${source}" NAME)
    configure_file("${source}" "${CMAKE_CURRENT_SOURCE_DIR}/../src/${name}" COPYONLY)
endforeach()
include_directories("${TRIBOND_DIR}")
link_libraries("${TRIBOND_LIBRARY}")
set(CMAKE_BUILD_RPATH_USE_ORIGIN OFF)
list(APPEND CMAKE_INSTALL_RPATH "${TRIBOND_DIR}")
