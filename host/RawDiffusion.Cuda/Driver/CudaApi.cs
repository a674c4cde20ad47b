using System.Runtime.InteropServices;

namespace RawDiffusion.Cuda.Driver;

/// <summary>
/// What is used of NVIDIA's driver library: its constants and structs here, its functions in CudaImports. Each function
/// returns a CUresult, 0 on success.
/// </summary>
internal static unsafe partial class CudaApi
{
    public const int NoDevice = 100;
    public const int OutOfMemory = 2;
    public const int UnsupportedPtxVersion = 222;

    // CUdevice_attribute
    public const int AttributeClockRateKiloHertz = 13;
    public const int AttributeMultiprocessorCount = 16;
    public const int AttributeMemoryClockRateKiloHertz = 36;
    public const int AttributeMemoryBusBits = 37;
    public const int AttributeCapabilityMajor = 75;
    public const int AttributeCapabilityMinor = 76;
    public const int AttributeMaxSharedBytesPerBlockOptIn = 97;

    // CUfunction_attribute
    public const int FunctionMaxDynamicSharedBytes = 8;

    // CUstream_flags, CUmemorytype
    public const uint StreamNonBlocking = 1;
    public const uint MemoryTypeDevice = 2;

    // CUjit_option
    public const int JitErrorLogBuffer = 5;
    public const int JitErrorLogBufferBytes = 6;

    // Keys of the list that hands all parameters of a launch over in one buffer.
    public const nint LaunchParameterEnd = 0;
    public const nint LaunchParameterBuffer = 1;
    public const nint LaunchParameterBufferBytes = 2;

    /// <summary>CUDA_KERNEL_NODE_PARAMS_v1, which cuGraphAddKernelNode without a suffix takes in all drivers: 56 bytes.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct KernelNodeParameters
    {
        public nint Function;
        public uint GridX, GridY, GridZ;
        public uint BlockX, BlockY, BlockZ;
        public uint SharedBytes;
        public nint* Parameters;
        public nint* Extra;
    }

    /// <summary>CUDA_MEMCPY3D_v2: 200 bytes. Offsets, levels, arrays and host addresses stay zero here.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Memcpy3D
    {
        public Side Source;
        public Side Destination;
        public nuint WidthBytes, Height, Depth;

        /// <summary>One end of the copy: 88 bytes.</summary>
        [StructLayout(LayoutKind.Sequential)]
        public struct Side
        {
            public nuint XBytes, Y, Z, Level;
            public uint MemoryType; // four bytes of padding follow
            public nint Host;
            public ulong Device;
            public nint Array;
            public nint Reserved;
            public nuint PitchBytes, Height;
        }
    }
}
