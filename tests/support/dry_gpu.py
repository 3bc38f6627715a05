"""Two stand-ins for a GPU where there is none: tensors without numbers, and tensors computed on the CPU.

Both refuse an operation on tensors of `cuda` and of the CPU, except those without dimensions, which CUDA takes as
numbers. Both list in `waits` where the host would wait for the device.
"""

import traceback
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._pytree import tree_leaves, tree_map

from codelab.images import encoder
from training import colours

GPU, CPU, META = torch.device("cuda", 0), torch.device("cpu"), torch.device("meta")
ATEN = torch.ops.aten
OURS = [str(Path(module.__file__).parents[k]) for module, k in ((encoder, 1), (colours, 0))]


def _place():
    """The line of ours that is running."""
    frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(tuple(OURS))]
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


class FakeGpu(FakeTensorMode):
    """Tensors on `cuda` are PyTorch's own fake ones, with shape and type; those on the CPU are real.

    A tensor that is copied to the CPU is all 0, so no mask has a true value; a number that is read alone is 1.

    Args:
        backward: autograd runs and autocast does nothing; else autocast runs and no gradient can be taken. Autograd
            would ask a device `cuda` for its streams, so C++ is told `meta`. Python, and the comparison of devices,
            have `cuda` in either case.
    """

    def __init__(self, *, backward=True):
        super().__init__(allow_non_fake_inputs=True)
        self.backward, self.waits, self.recorded = backward, [], []

    @staticmethod
    def pin(tensor):
        return tensor

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.ops.prim.device.default and self.backward:
            return META
        if kwargs.get("device") == META:
            kwargs["device"] = GPU
        leaves = tree_leaves((args, kwargs))
        if not any(isinstance(leaf, FakeTensor) or (type(leaf) is torch.device and leaf == GPU) for leaf in leaves):
            return func(*args, **kwargs)
        if func.overloadpacket is ATEN.to:  # it is not taken apart in inference mode
            with self:
                return func.decompose(*args, **kwargs)
        if func in (ATEN._local_scalar_dense.default, ATEN.equal.default):
            self.waits.append("item" + _place())
            return func is ATEN.equal.default or torch.ones((), dtype=args[0].dtype).item()
        if func is ATEN.nonzero.default:
            self.waits.append("nonzero" + _place())
            return args[0].new_empty((0, args[0].ndim), dtype=torch.int64)
        if func is ATEN._to_copy.default and not isinstance(args[0], FakeTensor):
            made = {"dtype": kwargs.get("dtype") or args[0].dtype, "device": GPU}
            made["memory_format"] = kwargs.get("memory_format", torch.contiguous_format)
            return super().__torch_dispatch__(ATEN.empty.memory_format, types, (list(args[0].shape),), made)
        made = super().__torch_dispatch__(func, types, args, kwargs)
        if func is not ATEN._to_copy.default or kwargs.get("device") != CPU:
            return made
        self.waits.append("copy to the CPU" + _place())
        with no_dispatch():
            return torch.zeros(made.shape, dtype=made.dtype)


def _own_memory(tensor):
    """Refuses what PyTorch cannot pin: a tensor whose elements share memory, as those of `expand`."""
    if any(step == 0 and length > 1 for step, length in zip(tensor.stride(), tensor.shape, strict=True)):
        raise RuntimeError("unsupported operation: more than one element refers to a single memory location")
    return tensor


class OnGpu(Tensor):
    """A tensor that says it is on the GPU."""


READS = {Tensor.item, Tensor.tolist, Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.__index__, Tensor.equal}
READS |= {torch.equal, torch.allclose, torch.nonzero, Tensor.nonzero, torch.masked_select, Tensor.masked_select}
READS |= {torch.unique, Tensor.unique, torch.bincount, Tensor.bincount, torch.is_nonzero, Tensor.allclose}
MOVES = {Tensor.to, Tensor.copy_, Tensor.cpu}
PLAIN = {torch.device, torch._C._nn._parse_to, torch._has_compatible_shallow_copy_type}
"""Calls that compute nothing; the last two are made by `nn.Module.to`."""


class ClaimedGpu(TorchFunctionMode):
    """Tensors on `cuda` are of a class of their own, and computed on the CPU: they have numbers, and gradients."""

    def __init__(self):
        super().__init__()
        self.waits, self.pinned, self.recorded = [], set(), []

    def pin(self, tensor):
        """Page-locked memory, once."""
        if tensor.data_ptr() in self.pinned:
            return tensor
        pinned = tensor.clone()
        self.pinned.add(pinned.data_ptr())
        return pinned

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        here = [leaf for leaf in leaves if isinstance(leaf, OnGpu)]
        if func == Tensor.device.__get__:
            return GPU if here else CPU
        if func == Tensor.is_cuda.__get__:
            return bool(here)
        if here and func in (Tensor.numpy, Tensor.__array__):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if here and func is Tensor.__deepcopy__:
            copied = args[0].detach().clone().requires_grad_(args[0].requires_grad)
            copied._is_param = isinstance(args[0], torch.nn.Parameter)
            args[1][id(args[0])] = copied
            return copied
        asked = any(map(_names_gpu, leaves))
        if func in MOVES:
            up = self._moved_up(func, args, kwargs, asked)
        else:
            up = bool(here) or asked
            if func not in PLAIN:
                self._check(func, args, kwargs, here, leaves)
        if func is torch.tensor and asked:
            self._wait("copy from pageable memory")
        if func not in PLAIN:
            args, kwargs = tree_map(lambda leaf: CPU if _names_gpu(leaf) else leaf, (args, kwargs))
        with torch._C.DisableTorchFunctionSubclass():
            made = func(*args, **kwargs)
            if func in MOVES - {Tensor.copy_} and made is args[0] and up != bool(here):
                made = made.clone()
        if up:
            for leaf in tree_leaves(made):
                if type(leaf) in (Tensor, torch.nn.Parameter):
                    leaf.__class__ = OnGpu
        return made

    def _check(self, func, args, kwargs, here, leaves):
        """Raise where devices mix, and note where the host waits."""
        away = [leaf for leaf in leaves if isinstance(leaf, Tensor) and not isinstance(leaf, OnGpu) and leaf.ndim]
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], OnGpu):
            places = [leaf for leaf in tree_leaves(args[1]) if isinstance(leaf, Tensor)]
            if any(not isinstance(place, OnGpu) and place.ndim for place in places):
                self._wait("index on the CPU")
            away = [leaf for leaf in away if not any(leaf is place for place in places)]
            filled = func is Tensor.__setitem__ and not (isinstance(args[2], Tensor) and args[2].ndim)
            if any(place.dtype == torch.bool for place in places) and not filled:
                self._wait("boolean mask")
        if here and away:
            shapes = [(type(one).__name__, list(one.shape)) for one in (*here, *away)]
            raise RuntimeError(f"{func.__name__}: tensors on cuda:0 and on the CPU: {shapes}")
        counted = func in (torch.repeat_interleave, Tensor.repeat_interleave) and "output_size" not in kwargs
        if here and (func in READS or (func is torch.where and len(args) == 1) or counted):
            self._wait(func.__name__)

    def _moved_up(self, func, args, kwargs, asked):
        """Whether what a copy makes is on the GPU; one that the host waits for is noted."""
        source, blocking = args[0], not kwargs.get("non_blocking", False)
        others = [leaf for leaf in tree_leaves((args[1:], kwargs)) if isinstance(leaf, Tensor)]
        if func is Tensor.copy_:
            source, up = args[1], isinstance(args[0], OnGpu)
        elif func is Tensor.cpu or asked:
            up = asked
        elif others:
            up = isinstance(others[0], OnGpu)
        else:
            named = any(isinstance(leaf, torch.device | str) for leaf in tree_leaves((args[1:], kwargs)))
            up = isinstance(source, OnGpu) and not named
        if isinstance(source, OnGpu) and not up and blocking:
            self._wait("copy to the CPU")
        pageable = blocking or source.data_ptr() not in self.pinned
        if up and not isinstance(source, OnGpu) and source.ndim and pageable:
            self._wait("copy from pageable memory")
        return up

    def _wait(self, what):
        self.waits.append(what + _place())


class Stream:
    """A stream in which nothing is queued; it knows which others it has waited for."""

    now = None

    def __init__(self, *_):
        self.waited = []

    def wait_stream(self, other):
        self.waited.append(other)

    @staticmethod
    @contextmanager
    def within(stream):
        before, Stream.now = Stream.now, stream
        yield
        Stream.now = before


def _names_gpu(leaf):
    return leaf.partition(":")[0] == "cuda" if isinstance(leaf, str) else type(leaf) is torch.device and leaf == GPU


@contextmanager
def dry_gpu(mode):
    """Within it the mode, a FakeGpu or a ClaimedGpu, stands in for CUDA."""
    claimed = isinstance(mode, ClaimedGpu)
    fake_dispatch = FakeTensor.__torch_dispatch__.__func__

    def dispatch(cls, func, types, args=(), kwargs=None):
        if func is torch.ops.prim.device.default and mode.backward:
            return META
        return fake_dispatch(cls, func, types, args, kwargs)

    places = [(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)]
    places += [(torch.cuda, "is_bf16_supported", lambda *_, **__: True)]
    main = Stream()
    places += [(torch.cuda, "Stream", Stream), (torch.cuda, "stream", Stream.within)]
    places += [(torch.cuda, "current_stream", lambda *_: Stream.now or main)]
    places += [(Tensor, "record_stream", lambda tensor, stream: mode.recorded.append(stream))]
    places += [(Tensor, "pin_memory", lambda tensor: mode.pin(_own_memory(tensor)))]  # in every thread; a mode has one
    if claimed:  # autocast is that of the CPU, where the numbers are computed
        autocast, enabled, dtype = torch.autocast, torch.is_autocast_enabled, torch.get_autocast_dtype
        places += [(torch, "autocast", lambda kind, *a, **k: autocast("cpu", *a, **k))]
        places += [(torch, "is_autocast_enabled", lambda *_: enabled("cpu"))]
        places += [(torch, "get_autocast_dtype", lambda *_: dtype("cpu"))]
    else:
        places += [(FakeTensor, "__torch_dispatch__", classmethod(dispatch))]
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")  # by a copy of a parameter
        for place in places:
            stack.enter_context(patch.object(*place))
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrites)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        for kept in (colours.constant, encoder._channels):
            kept.cache_clear()
            stack.callback(kept.cache_clear)
        yield stack.enter_context(mode)
