using RawDiffusion.Engine;

namespace RawDiffusion.Cpu;

/// <summary>One prepared kernel: arguments bound, memory at hand. Runs as phases of independent tasks.</summary>
internal abstract unsafe class CpuLaunch
{
    /// <summary>Kernel variant, for profiles.</summary>
    public abstract string Description { get; }

    /// <summary>Phases, run one after another.</summary>
    public virtual int Phases => 1;

    /// <summary>Scratch bytes that a task needs.</summary>
    public virtual long ScratchBytes => 0;

    /// <summary>Number of tasks of a phase; must not depend on the number of threads.</summary>
    public abstract int Tasks(int phase);

    /// <summary>Runs one task; tasks of a phase write disjoint memory.</summary>
    public abstract void Run(int phase, int task, float* scratch);
}

/// <summary>Makes launches for the nodes of one operator. Found by reflection: a new kernel is a new file, no more.</summary>
internal abstract class CpuKernel
{
    private static readonly Dictionary<Type, CpuKernel> ByOperator = typeof(CpuKernel).Assembly.GetTypes()
        .Where(t => t.IsSubclassOf(typeof(CpuKernel)) && !t.IsAbstract)
        .Select(t => (CpuKernel)Activator.CreateInstance(t)!)
        .ToDictionary(k => k.OperatorType);

    protected abstract Type OperatorType { get; }

    /// <summary>The kernel of a node's operator.</summary>
    /// <exception cref="GraphException">There is none.</exception>
    public static CpuKernel For(Node node) => ByOperator.TryGetValue(node.Operator.GetType(), out CpuKernel? kernel)
        ? kernel
        : throw new GraphException($"{node.Name}: the CPU device has no kernel for {node.Operator.Name}");

    /// <summary>Binds a node to its memory.</summary>
    public abstract CpuLaunch Prepare<S, V>(Node node, CpuContext context)
        where S : struct, ISimd<V>
        where V : unmanaged;
}

/// <summary>A kernel of one operator.</summary>
internal abstract class CpuKernel<TOperator> : CpuKernel
    where TOperator : Operator
{
    protected sealed override Type OperatorType => typeof(TOperator);
}
