! Energy, forces and stress of a silicon crystal with libtribond:
!
!     tribond convert default model.safetensors
!     gfortran tribond.f90 silicon.f90 $(pkg-config --libs tribond) -o silicon
!     ./silicon model.safetensors
program silicon
  use tribond
  implicit none
  integer, parameter :: atoms = 8
  real(c_double), parameter :: a = 5.43_c_double
  real(c_double), target :: positions(3, atoms), forces(3, atoms)
  integer(c_int32_t), target :: numbers(atoms) = 14
  type(tribond_structure) :: crystal
  type(tribond_results) :: results
  type(c_ptr) :: model = c_null_ptr
  character(1000) :: path
  integer :: i

  call get_command_argument(1, path)
  positions = a*reshape([0.01d0, 0d0, 0d0, 0d0, .5d0, .5d0, .5d0, 0d0, .5d0, .5d0, .5d0, 0d0, .25d0, .25d0, .25d0, &
    .25d0, .75d0, .75d0, .75d0, .25d0, .75d0, .75d0, .75d0, .25d0], [3, atoms])
  crystal%struct_size = c_sizeof(crystal)
  crystal%num_atoms = atoms
  crystal%atomic_numbers = c_loc(numbers)
  crystal%positions = c_loc(positions)
  crystal%periodic = 1
  results%struct_size = c_sizeof(results)
  results%forces = c_loc(forces)
  results%num_forces = size(forces)
  do i = 1, 3
    crystal%cell(i, i) = a
  end do

  call check(tribond_load(trim(path)//c_null_char, tribond_float64, model))
  call check(tribond_evaluate_structure(model, crystal, results))
  print '(a, f0.10, a)', 'energy ', results%energy, ' eV'
  do i = 1, atoms
    print '(a, 3(1x, f0.10), a)', 'force', forces(:, i), ' eV/A'
  end do
  print '(a, 9(1x, f0.10), a)', 'stress', results%stress, ' eV/A^3'
  call tribond_free(model)

contains

  subroutine check(code)
    integer(c_int), intent(in) :: code
    if (code /= tribond_ok) then
      print '(a)', tribond_last_error()
      error stop
    end if
  end subroutine
end program
