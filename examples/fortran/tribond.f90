! The part of tribond.h that evaluates structures, for Fortran 2003 and later. The header says what each field means.
module tribond
  use, intrinsic :: iso_c_binding
  implicit none

  integer(c_int), parameter :: tribond_ok = 0, tribond_float32 = 4, tribond_float64 = 8

  type, bind(c) :: tribond_structure
    integer(c_size_t) :: struct_size
    integer(c_int64_t) :: num_atoms = 0
    type(c_ptr) :: atomic_numbers = c_null_ptr
    type(c_ptr) :: positions = c_null_ptr ! (3, atoms) in Fortran's order
    real(c_double) :: cell(3, 3) = 0 ! columns are a, b, c in Fortran's order
    integer(c_int32_t) :: periodic(3) = 0
  end type

  type, bind(c) :: tribond_results
    integer(c_size_t) :: struct_size
    real(c_double) :: energy, virial(3, 3), stress(3, 3)
    type(c_ptr) :: atomic_energies = c_null_ptr
    integer(c_int64_t) :: num_atomic_energies = 0
    type(c_ptr) :: forces = c_null_ptr ! (3, atoms)
    integer(c_int64_t) :: num_forces = 0
    type(c_ptr) :: atomic_virials = c_null_ptr
    integer(c_int64_t) :: num_atomic_virials = 0
    type(c_ptr) :: edge_gradients = c_null_ptr
    integer(c_int64_t) :: num_edge_gradients = 0
  end type

  interface
    integer(c_int) function tribond_load(path, precision, model) bind(c)
      import :: c_int, c_char, c_ptr
      character(kind=c_char), intent(in) :: path(*)
      integer(c_int), value :: precision
      type(c_ptr), intent(out) :: model
    end function

    subroutine tribond_free(model) bind(c)
      import :: c_ptr
      type(c_ptr), value :: model
    end subroutine

    integer(c_int) function tribond_evaluate_structure(model, structure, results) bind(c)
      import :: c_int, c_ptr, tribond_structure, tribond_results
      type(c_ptr), value :: model
      type(tribond_structure), intent(in) :: structure
      type(tribond_results), intent(inout) :: results
    end function

    function tribond_last_error_c() bind(c, name="tribond_last_error") result(text)
      import :: c_ptr
      type(c_ptr) :: text
    end function

    integer(c_size_t) function strlen(text) bind(c)
      import :: c_size_t, c_ptr
      type(c_ptr), value :: text
    end function
  end interface

contains

  function tribond_last_error() result(message)
    character(:), allocatable :: message
    character(kind=c_char), pointer :: letters(:)
    type(c_ptr) :: text
    integer :: i
    text = tribond_last_error_c()
    call c_f_pointer(text, letters, [strlen(text)])
    allocate (character(size(letters)) :: message)
    do i = 1, size(letters)
      message(i:i) = letters(i)
    end do
  end function
end module
