#!/usr/bin/env bash
# One would guess: an MSISDN as call records hold it, the country code and the number in digits without "+", is read alike whichever
# country it is of, once that country is given as the region; at worst it is refused.
# What happens: libphonenumber's ports take the country code off where the digits cannot be a number within the country, as in South
# Africa, Sweden and the United States. Germany's numbers have no fixed length, and 491713920001, a mobile number, can also be dialled
# within the country, as 0491 713920001: the result is +49 491713920001, valid, a fixed line in Leer. A number of Berlin is read right.
# With "+" in front all are.
# Since: seen on phonenumbers 9.0.43 (Python) and libphonenumber-js 1.13.16. The numbers are those kept for films, but for South Africa's.
# Source: _maybe_extract_country_code in phonenumberutil.py (maybeExtractCountryCode in libphonenumber): the code is only taken off where
# the rest fits the country's numbers and the whole does not, or where the whole is too long.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet phonenumbers==9.0.43
npm install --silent libphonenumber-js@1.13.16 > npm
cat > numbers <<'NUMBERS'
ZA 27820000001
SE 46701740605
US 12025550101
DE 491713920001
DE 493023125001
NUMBERS
{
    venv/bin/python - <<'PYTHON'
import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType, geocoder

print("phonenumbers", phonenumbers.__version__)
for line in open("numbers"):
    region, msisdn = line.split()
    for given in (msisdn, "+" + msisdn):
        number = phonenumbers.parse(given, region)
        e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        valid = "valid" if phonenumbers.is_valid_number(number) else "not valid"
        kind = PhoneNumberType.to_string(phonenumbers.number_type(number))
        print(f"    {region} {given}: {e164} {valid} {kind}, {geocoder.description_for_number(number, 'en')}")
PYTHON
    node - <<'JAVASCRIPT'
const { readFileSync } = require("fs");
const { default: parse } = require("libphonenumber-js/max");

console.log("libphonenumber-js");
for (const line of readFileSync("numbers", "utf8").trim().split("\n")) {
  const [region, msisdn] = line.split(" ");
  for (const given of [msisdn, "+" + msisdn]) {
    const number = parse(given, region);
    console.log(`    ${region} ${given}: ${number.number}`, number.isValid() ? "valid" : "not valid", number.getType());
  }
}
JAVASCRIPT
} | tee found
diff found - <<'EXPECTED'
phonenumbers 9.0.43
    ZA 27820000001: +27820000001 valid MOBILE, South Africa
    ZA +27820000001: +27820000001 valid MOBILE, South Africa
    SE 46701740605: +46701740605 valid MOBILE, Sweden
    SE +46701740605: +46701740605 valid MOBILE, Sweden
    US 12025550101: +12025550101 valid FIXED_LINE_OR_MOBILE, Washington D.C.
    US +12025550101: +12025550101 valid FIXED_LINE_OR_MOBILE, Washington D.C.
    DE 491713920001: +49491713920001 valid FIXED_LINE, Leer Ostfriesland
    DE +491713920001: +491713920001 valid MOBILE, Germany
    DE 493023125001: +493023125001 valid FIXED_LINE, Berlin
    DE +493023125001: +493023125001 valid FIXED_LINE, Berlin
libphonenumber-js
    ZA 27820000001: +27820000001 valid MOBILE
    ZA +27820000001: +27820000001 valid MOBILE
    SE 46701740605: +46701740605 valid MOBILE
    SE +46701740605: +46701740605 valid MOBILE
    US 12025550101: +12025550101 valid FIXED_LINE_OR_MOBILE
    US +12025550101: +12025550101 valid FIXED_LINE_OR_MOBILE
    DE 491713920001: +49491713920001 valid FIXED_LINE
    DE +491713920001: +491713920001 valid MOBILE
    DE 493023125001: +493023125001 valid FIXED_LINE
    DE +493023125001: +493023125001 valid FIXED_LINE
EXPECTED
echo "as described"
