/// A number in double extended format, as an x87 register holds it: 64-bit significand with explicit integer bit, 15-bit exponent
/// (bias 16383), sign.
///
/// The integer arithmetic here takes the cases that programs consist of, zeros and normal numbers whose result is normal; everything
/// else (denormals, unsupported encodings, infinities, NaNs, overflow, underflow) is declined and left to the host's x87.
///
/// Source: SDM Vol. 1, "x87 FPU Data Types", "Rounding", "Precision Control Field".
struct F80: Equatable, Sendable {
    var significand: UInt64
    /// Bit 15 sign, bits 0–14 biased exponent.
    var signExponent: UInt16

    @inline(__always)
    init(_ significand: UInt64, _ signExponent: UInt16) {
        self.significand = significand
        self.signExponent = signExponent
    }

    @inline(__always) static var integerBit: UInt64 { 1 << 63 }
    @inline(__always) static var bias: Int { 16383 }
    /// The QNaN "real indefinite", masked response to an invalid operation.
    @inline(__always) static var indefinite: F80 { F80(0xC000_0000_0000_0000, 0xFFFF) }
    @inline(__always) static var zero: F80 { F80(0, 0) }
    /// An encoding that no operation here takes (a pseudo-infinity): stands for an operand that only the host converts.
    @inline(__always) static var notPlain: F80 { F80(0, 0x7FFF) }

    @inline(__always) var sign: UInt16 { signExponent & 0x8000 }
    @inline(__always) var exponent: Int { Int(signExponent & 0x7FFF) }
    @inline(__always) var isZero: Bool { significand == 0 && signExponent & 0x7FFF == 0 }
    @inline(__always) var isNormal: Bool { (signExponent & 0x7FFF) &- 1 < 0x7FFE && significand >= F80.integerBit }
    @inline(__always) var isInfinity: Bool { signExponent & 0x7FFF == 0x7FFF && significand == F80.integerBit }
    /// Zero, normal or infinite: what compares without an exception.
    @inline(__always) var isPlain: Bool { isNormal || isZero || isInfinity }

    /// Formats of memory operands of arithmetic instructions; the raw value orders `HostOperation` rows.
    enum Memory: Int {
        case single, double, integer, word
    }

    // MARK: Exact conversions

    /// Exact; `notPlain` for denormals and NaNs, whose conversion raises exceptions.
    @inline(__always)
    init(single bits: UInt32) {
        let sign = UInt16(truncatingIfNeeded: bits &>> 16) & 0x8000
        let exponent = (bits &>> 23) & 0xFF
        let fraction = bits & 0x7F_FFFF
        if exponent &- 1 < 0xFE {
            self.init(F80.integerBit | UInt64(fraction) &<< 40, sign | UInt16(truncatingIfNeeded: exponent &+ (16383 &- 127)))
        } else if fraction == 0 {
            self = exponent == 0 ? F80(0, sign) : F80(F80.integerBit, sign | 0x7FFF)
        } else {
            self = .notPlain
        }
    }

    /// Exact; `notPlain` for denormals and NaNs, whose conversion raises exceptions.
    @inline(__always)
    init(double bits: UInt64) {
        let sign = UInt16(truncatingIfNeeded: bits &>> 48) & 0x8000
        let exponent = (bits &>> 52) & 0x7FF
        let fraction = bits & 0xF_FFFF_FFFF_FFFF
        if exponent &- 1 < 0x7FE {
            self.init(F80.integerBit | fraction &<< 11, sign | UInt16(truncatingIfNeeded: exponent &+ (16383 &- 1023)))
        } else if fraction == 0 {
            self = exponent == 0 ? F80(0, sign) : F80(F80.integerBit, sign | 0x7FFF)
        } else {
            self = .notPlain
        }
    }

    /// Exact.
    @inline(__always)
    init(integer value: Int64) {
        guard value != 0 else {
            self = .zero
            return
        }
        let magnitude = value.magnitude
        let shift = magnitude.leadingZeroBitCount
        self.init(magnitude &<< UInt64(shift), (value < 0 ? 0x8000 : 0) | UInt16(truncatingIfNeeded: F80.bias &+ 63 &- shift))
    }
}

/// A value with the exception flags it raised and C1; `flags` is `declined` when the host must do the operation.
struct Rounded {
    var value: F80
    var flags: UInt16

    @inline(__always)
    init(_ value: F80, _ flags: UInt16 = 0) {
        self.value = value
        self.flags = flags
    }

    /// A bit that no flag and no condition code has.
    static let declinedFlag: UInt16 = FSW.busy
    @inline(__always) static var declined: Rounded { Rounded(.zero, declinedFlag) }
    @inline(__always) var isDeclined: Bool { flags & Rounded.declinedFlag != 0 }
}

/// Control word fields.
enum FCW {
    static let precision: UInt16 = 0x0300, single: UInt16 = 0x0000, double: UInt16 = 0x0200, extended: UInt16 = 0x0300
    static let rounding: UInt16 = 0x0C00, down: UInt16 = 0x0400, up: UInt16 = 0x0800, chop: UInt16 = 0x0C00
}

extension F80 {
    // MARK: Rounding

    /// Does a discarded part `rest` (2^64ths of the last place, lowest bit sticky) round the magnitude up?
    @inline(__always)
    static func roundsUp(_ rest: UInt64, odd: Bool, sign: UInt16, _ control: UInt16) -> Bool {
        switch control & FCW.rounding {
        case 0: rest > F80.integerBit || (rest == F80.integerBit && odd)
        case FCW.down: sign != 0
        case FCW.up: sign == 0
        default: false
        }
    }

    /// Rounds `high`.`low` (integer bit of `high` set, lowest bit of `low` sticky) to the precision that the control word selects.
    /// Declines results that are not normal.
    @inline(__always)
    static func rounded(_ sign: UInt16, _ exponent: Int, _ high: UInt64, _ low: UInt64, _ control: UInt16) -> Rounded {
        guard control & (FCW.precision | FCW.rounding) == FCW.extended, UInt(bitPattern: exponent &- 1) < 0x7FFD else {
            return roundedOther(sign, exponent, high, low, control)
        }
        // To nearest, 64 bits, without branches on the data; the exponent has room for a carry.
        let tie: UInt64 = low == F80.integerBit ? 1 : 0
        let above: UInt64 = low > F80.integerBit ? 1 : 0
        let up = above | tie & high
        let keep = high &+ up
        let inexact: UInt16 = low == 0 ? 0 : FSW.pe
        if keep == 0 { return Rounded(F80(F80.integerBit, sign | UInt16(truncatingIfNeeded: exponent &+ 1)), inexact | FSW.c1) }
        return Rounded(F80(keep, sign | UInt16(truncatingIfNeeded: exponent)), inexact | UInt16(truncatingIfNeeded: up) &<< 9)
    }

    @inline(never)
    private static func roundedOther(_ sign: UInt16, _ exponent: Int, _ high: UInt64, _ low: UInt64, _ control: UInt16) -> Rounded {
        var keep = high
        var rest = low
        var unit: UInt64 = 1
        if control & FCW.precision != FCW.extended {
            let drop: UInt64
            switch control & FCW.precision {
            case FCW.double: drop = 11
            case FCW.single: drop = 40
            default: return .declined  // 01 is reserved
            }
            unit = 1 &<< drop
            keep = high & ~(unit &- 1)
            rest = high &<< (64 &- drop) | low &>> drop | (low & (unit &- 1) == 0 ? 0 : 1)
        }
        var exponent = exponent
        guard exponent > 0 else { return .declined }
        var flags: UInt16 = 0
        if rest != 0 {
            flags = FSW.pe
            if roundsUp(rest, odd: keep & unit != 0, sign: sign, control) {
                flags = FSW.pe | FSW.c1
                keep = keep &+ unit
                if keep == 0 {
                    keep = F80.integerBit
                    exponent &+= 1
                }
            }
        }
        guard exponent < 0x7FFF else { return .declined }
        return Rounded(F80(keep, sign | UInt16(truncatingIfNeeded: exponent)), flags)
    }

    // MARK: Arithmetic

    /// `reg` as in the encoding: 0 x+y, 1 xy, 4 x−y, 5 y−x, 6 x/y, 7 y/x.
    @inline(__always)
    static func arithmetic(_ reg: Int, _ x: F80, _ y: F80, _ control: UInt16) -> Rounded {
        switch reg {
        case 0: sum(x, y, control)
        case 1: product(x, y, control)
        case 4: sum(x, F80(y.significand, y.signExponent ^ 0x8000), control)
        case 5: sum(y, F80(x.significand, x.signExponent ^ 0x8000), control)
        case 6: quotient(x, y, control)
        default: quotient(y, x, control)
        }
    }

    @inline(__always)
    static func product(_ x: F80, _ y: F80, _ control: UInt16) -> Rounded {
        let sign = (x.signExponent ^ y.signExponent) & 0x8000
        guard x.isNormal, y.isNormal else {
            return (x.isZero && (y.isZero || y.isNormal)) || (y.isZero && x.isNormal) ? Rounded(F80(0, sign)) : .declined
        }
        var (high, low) = x.significand.multipliedFullWidth(by: y.significand)
        // The product has 127 or 128 bits.
        let shift = 1 &- high &>> 63
        high = high &<< shift | (low &>> 63) & shift
        low = low &<< shift
        let exponent = x.exponent &+ y.exponent &- (F80.bias &- 1) &- Int(truncatingIfNeeded: shift)
        return rounded(sign, exponent, high, low, control)
    }

    @inline(never)
    static func quotient(_ x: F80, _ y: F80, _ control: UInt16) -> Rounded {
        let sign = (x.signExponent ^ y.signExponent) & 0x8000
        guard y.isNormal else { return .declined }
        guard x.isNormal else { return x.isZero ? Rounded(F80(0, sign)) : .declined }
        var exponent = x.exponent &- y.exponent &+ F80.bias
        // The dividend's high word must stay below the divisor for the quotient to fit.
        let (quotient, remainder): (UInt64, UInt64)
        if x.significand < y.significand {
            (quotient, remainder) = y.significand.dividingFullWidth((x.significand, 0))
            exponent &-= 1
        } else {
            (quotient, remainder) = y.significand.dividingFullWidth((x.significand &>> 1, x.significand &<< 63))
        }
        // Below, at or above half of the last place; the divisor's top bit is set, so twice the remainder may carry.
        let half = y.significand &- remainder
        let rest: UInt64 = remainder == 0 ? 0 : remainder < half ? 1 : remainder == half ? F80.integerBit : F80.integerBit | 1
        return rounded(sign, exponent, quotient, rest, control)
    }

    @inline(never)
    static func sum(_ x: F80, _ y: F80, _ control: UInt16) -> Rounded {
        guard x.isNormal, y.isNormal else { return sumWithZero(x, y, control) }
        var large = x
        var small = y
        if y.exponent > x.exponent || (y.exponent == x.exponent && y.significand > x.significand) { (large, small) = (y, x) }
        let distance = UInt64(truncatingIfNeeded: large.exponent &- small.exponent)
        var high: UInt64
        var low: UInt64
        if distance < 64 {
            high = small.significand &>> distance
            low = distance == 0 ? 0 : small.significand &<< (64 &- distance)
        } else if distance < 128 {
            high = 0
            low = small.significand &>> (distance &- 64)
            if distance > 64, small.significand &<< (128 &- distance) != 0 { low |= 1 }
        } else {
            high = 0
            low = 1
        }
        var exponent = large.exponent
        if x.sign == y.sign {
            let (total, carry) = large.significand.addingReportingOverflow(high)
            high = total
            if carry {
                low = low &>> 1 | low & 1 | high &<< 63
                high = high &>> 1 | F80.integerBit
                exponent &+= 1
            }
        } else {
            let borrow: UInt64 = low == 0 ? 0 : 1
            low = 0 &- low
            high = large.significand &- high &- borrow
            if high == 0 {
                // Only equal or adjacent exponents cancel this far, so nothing is sticky.
                if low == 0 { return Rounded(F80(0, control & FCW.rounding == FCW.down ? 0x8000 : 0)) }
                high = low
                low = 0
                exponent &-= 64
            }
            let shift = UInt64(truncatingIfNeeded: high.leadingZeroBitCount)
            if shift != 0 {
                high = high &<< shift | low &>> (64 &- shift)
                low = low &<< shift
                exponent &-= Int(truncatingIfNeeded: shift)
            }
        }
        return rounded(large.sign, exponent, high, low, control)
    }

    @inline(never)
    private static func sumWithZero(_ x: F80, _ y: F80, _ control: UInt16) -> Rounded {
        if x.isZero {
            if y.isNormal { return rounded(y.sign, y.exponent, y.significand, 0, control) }
            guard y.isZero else { return .declined }
            if x.sign == y.sign { return Rounded(x) }
            return Rounded(F80(0, control & FCW.rounding == FCW.down ? 0x8000 : 0))
        }
        return y.isZero && x.isNormal ? rounded(x.sign, x.exponent, x.significand, 0, control) : .declined
    }

    // MARK: Narrowing

    /// To binary64 with the control word's rounding mode; `flags` is declined for results that are not normal.
    @inline(__always)
    func toDouble(_ control: UInt16) -> (bits: UInt64, flags: UInt16) {
        let signBit = UInt64(sign) &<< 48
        guard isNormal else { return isZero ? (signBit, 0) : isInfinity ? (signBit | 0x7FF0_0000_0000_0000, 0) : (0, Rounded.declinedFlag) }
        // A value below the smallest normal may round up to it and still underflow: the exponent before rounding counts too.
        let narrow = exponent &- (16383 &- 1023)
        guard UInt(bitPattern: narrow &- 1) < 2046 else { return (0, Rounded.declinedFlag) }
        let magnitude = UInt64(truncatingIfNeeded: narrow &- 1) &<< 52 &+ significand &>> 11  // the integer bit adds the 1
        let (bits, flags) = roundedLast(magnitude, rest: significand &<< 53, control)
        return bits < 0x7FF0_0000_0000_0000 ? (signBit | bits, flags) : (0, Rounded.declinedFlag)
    }

    /// To binary32, likewise.
    @inline(__always)
    func toSingle(_ control: UInt16) -> (bits: UInt32, flags: UInt16) {
        let signBit = UInt32(sign) &<< 16
        guard isNormal else { return isZero ? (signBit, 0) : isInfinity ? (signBit | 0x7F80_0000, 0) : (0, Rounded.declinedFlag) }
        let narrow = exponent &- (16383 &- 127)
        guard UInt(bitPattern: narrow &- 1) < 254 else { return (0, Rounded.declinedFlag) }
        let magnitude = UInt64(truncatingIfNeeded: narrow &- 1) &<< 23 &+ significand &>> 40
        let (bits, flags) = roundedLast(magnitude, rest: significand &<< 24, control)
        return bits < 0x7F80_0000 ? (signBit | UInt32(truncatingIfNeeded: bits), flags) : (0, Rounded.declinedFlag)
    }

    /// Rounds an integer image by the part below it; a carry runs into the exponent field.
    @inline(__always)
    private func roundedLast(_ magnitude: UInt64, rest: UInt64, _ control: UInt16) -> (bits: UInt64, flags: UInt16) {
        let inexact: UInt16 = rest == 0 ? 0 : FSW.pe
        var up: UInt64 = rest > F80.integerBit ? 1 : 0
        if rest == F80.integerBit { up = magnitude & 1 }
        if control & FCW.rounding != 0 { up = rest != 0 && F80.roundsUp(rest, odd: false, sign: sign, control) ? 1 : 0 }
        return (magnitude &+ up, inexact | UInt16(truncatingIfNeeded: up) &<< 9)
    }

    /// Magnitude rounded to an integer, for |x| < 2^63; declined otherwise.
    @inline(__always)
    private func integerMagnitude(_ control: UInt16) -> (magnitude: UInt64, flags: UInt16) {
        guard isNormal else { return (0, isZero ? 0 : Rounded.declinedFlag) }
        let power = exponent &- F80.bias
        guard power < 63 else { return (0, Rounded.declinedFlag) }
        let keep: UInt64
        let rest: UInt64
        if power >= 0 {
            keep = significand &>> UInt64(truncatingIfNeeded: 63 &- power)
            rest = significand &<< UInt64(truncatingIfNeeded: power &+ 1)
        } else {
            keep = 0
            rest = power == -1 ? significand : 1
        }
        let (magnitude, flags) = roundedLast(keep, rest: rest, control)
        return (magnitude, flags)
    }

    /// To a signed integer of `bits` bits; declined when it does not fit.
    @inline(__always)
    func toInteger(_ bits: Int, _ control: UInt16) -> (value: Int64, flags: UInt16) {
        let (magnitude, flags) = integerMagnitude(control)
        let limit = UInt64(1) &<< UInt64(truncatingIfNeeded: bits &- 1)
        guard flags & Rounded.declinedFlag == 0, magnitude < limit || (magnitude == limit && sign != 0) else {
            return (0, Rounded.declinedFlag)
        }
        let value = Int64(bitPattern: magnitude)
        return (sign != 0 ? 0 &- value : value, flags)
    }

    /// FRNDINT.
    func roundedToInteger(_ control: UInt16) -> Rounded {
        if isNormal, exponent >= F80.bias &+ 63 { return Rounded(self) }
        let (magnitude, flags) = integerMagnitude(control)
        guard flags & Rounded.declinedFlag == 0 else { return .declined }
        guard magnitude != 0 else { return Rounded(F80(0, sign), flags) }
        let shift = magnitude.leadingZeroBitCount
        return Rounded(F80(magnitude &<< UInt64(shift), sign | UInt16(truncatingIfNeeded: F80.bias &+ 63 &- shift)), flags)
    }

    // MARK: Comparison

    /// C3, C2, C0 of a comparison of plain numbers.
    @inline(__always)
    static func compare(_ x: F80, _ y: F80) -> UInt16 {
        if x.signExponent == y.signExponent {
            if x.significand == y.significand { return FSW.c3 }
            return (x.significand < y.significand) != (x.sign != 0) ? FSW.c0 : 0
        }
        if x.isZero && y.isZero { return FSW.c3 }
        if x.sign != y.sign { return x.sign != 0 ? FSW.c0 : 0 }
        return (x.exponent < y.exponent) != (x.sign != 0) ? FSW.c0 : 0
    }
}
